"""Tokenizers in the formats that models are published in; GGUF metadata is the common form.

Reading order: `gguf` builds a tokenizer from GGUF metadata, with the kinds `bert`, `t5`, `rwkv` and `words`
in their own files, `encoders` for what they share, and the named `pretokenizers` in a table; `from_hf` (with
`json_field` and `hf_pipeline`), `from_hf_bert`, `from_hf_sentencepiece`, `from_run` and `sentencepiece`
convert other formats to that metadata; `to_hf` converts back, and `gguf_limits` says what GGUF cannot
express; `vocab_files` loads published vocabulary files.
"""
