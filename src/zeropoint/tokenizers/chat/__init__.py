"""Chat templates: from a list of messages to the token ids of a prompt.

Reading order: `template` (render messages), `system_prompt` (for templates without a place for one),
`template_process` and `template_worker` (the sandboxed process that runs a model's jinja2 template), `prompt`
(encode so that no message can inject a control token).
"""
