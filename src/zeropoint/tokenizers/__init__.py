"""Tokenizers: text to token ids and back, chat templates, and training.

Reading order: `core/` (vocabulary, encoding, decoding, streaming), `formats/` (GGUF, Hugging Face and
SentencePiece files), `chat/` (chat templates and prompts), `train/` (BPE, unigram, characters, words).
"""
