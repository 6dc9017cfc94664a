"""The tokenizer itself, independent of the format its vocabulary came from.

Reading order: `vocabulary` (tokens validated from metadata), `special_tokens` (those known by spelling),
`merges`, `tokenizer` (encode and decode), `added_tokens` (those found before words) and `added_token_finder`,
`pipeline` (the steps around the model), `byte_level` and `character_vocab` (alphabets), `stream` (text from
tokens as they arrive), `quiet_panics` (failures of the library, without its report).
"""
