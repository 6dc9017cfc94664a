"""Tokenizers in the formats that models are published in; GGUF metadata is the common form.

Reading order: `gguf` builds a tokenizer from GGUF metadata, with the kinds `bert`, `t5` and `rwkv` in their
own files; `from_hf`, `from_hf_bert`, `from_run` and `sentencepiece` convert other formats to that metadata;
`to_hf` converts back; `vocab_files` loads published vocabulary files.
"""
