"""The tokenizer itself, independent of the format its vocabulary came from.

Reading order: `vocabulary` (tokens validated from metadata), `special_tokens` (those known by spelling),
`tokenizer` (encode and decode), `added_tokens`, `byte_level` and `character_vocab` (alphabets), `stream`
(text from tokens as they arrive).
"""
