"""Read a model's reply: separate its reasoning and its tool calls from the text for the user, as it arrives.

    format = find_format(template.source, tokenizer)     what this model writes
    parser = format.parser(prompt_end, tools)            one for each reply
    parser.push(text), parser.finish()                   -> events

Reading order: `events` (what a parser gives), `markers` (find tags in text that arrives in pieces), `tags`
(the parser of most models), `harmony` (that of gpt-oss), `calls` and `tool_formats/` (how each family writes
tool calls), `reply_format` (which of these a model uses).
"""
