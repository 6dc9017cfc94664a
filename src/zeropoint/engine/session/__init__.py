"""Sessions with a loaded model: load it, chat with it, stream and score text.

Read `load` (from a name to a `Model`), `model` (the public object), `prompt_ids`, `stream`, `logprobs` and
`chat`, then `score`; `chat_history` and `kv_snapshot` save a conversation and its KV cache.
"""
