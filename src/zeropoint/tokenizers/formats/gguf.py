"""Build a tokenizer from GGUF metadata on Hugging Face `tokenizers` (imported on first use).

`gpt2` is byte-level BPE: every byte is a printable character, and the file names its pre-tokenizer. `llama`
is SentencePiece BPE: spaces are `▁`, unknown characters fall back to byte tokens; `gemma4` is the same with
merges. `bert` is WordPiece (bert.py), `t5` a unigram model (t5.py), `rwkv` byte strings or single characters
(rwkv.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from zeropoint.tokenizers.core.added_tokens import added_tokens, token_scanner
from zeropoint.tokenizers.core.byte_level import decode_byte_level
from zeropoint.tokenizers.core.longest_match import unescape_bytes
from zeropoint.tokenizers.core.merges import check_merges
from zeropoint.tokenizers.core.metadata_reader import HasMetadata, MetadataReader
from zeropoint.tokenizers.core.pipeline import SPACE, Pipeline
from zeropoint.tokenizers.core.tokenizer import Encoders, Tokenizer
from zeropoint.tokenizers.core.vocabulary import Vocabulary, read_vocabulary
from zeropoint.tokenizers.formats.encoders import build_encoder
from zeropoint.tokenizers.formats.pretokenizers import PreTokenizer, pre_tokenizers

__all__ = ["Tokenizer", "check_tokenizer", "import_tokenizers", "load_tokenizer"]


def import_tokenizers() -> None:
    """Import the library before other parts allocate memory: with too little left its import fails."""
    import tokenizers  # noqa: F401


def check_tokenizer(model: HasMetadata) -> None:
    """Raise BadModelFile for a tokenizer of an unknown kind or an invalid vocabulary, without building it."""
    _rules(read_vocabulary(model), model)


def load_tokenizer(model: HasMetadata) -> Tokenizer:
    """Build the tokenizer of a model file. Raises BadModelFile naming the file and the key at fault.

    `llama`, unless the file sets `add_space_prefix` = false: a space is prepended to a text, even if it
    begins with a space, and to whatever follows a control or user-defined token. This is the behaviour of
    SentencePiece (at the start of a text), llama.cpp and transformers' slow tokenizers. Transformers' fast
    tokenizers with `legacy` = false prepend one only at the start, and not before a space. GGUF cannot
    express that; our files do, in their pipeline (`core/pipeline.py`).
    """
    vocabulary = read_vocabulary(model)
    rules = _rules(vocabulary, model)
    try:
        encoders = _build_encoders(vocabulary, rules)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as failure:  # a Rust panic is not an Exception
        check_merges(model, vocabulary)
        raise MetadataReader(model).error("tokens", f"not a valid vocabulary: {failure}") from None
    add_bos = rules.add_bos if vocabulary.add_bos is None else vocabulary.add_bos
    spelling = _spelling(vocabulary)
    return Tokenizer(vocabulary.compact(), encoders, _DECODERS[spelling], add_bos, spelling)


def _spelling(vocabulary: Vocabulary) -> str:
    """How tokens spell text; see `Pipeline.spelling`."""
    if vocabulary.kind == "rwkv":
        return "bytes" if vocabulary.has_escapes else "characters"
    if vocabulary.pipeline is not None and vocabulary.kind in ("gpt2", "t5"):
        return vocabulary.pipeline.spelling
    return "byte_level" if vocabulary.kind == "gpt2" else "sentencepiece"


def _rules(vocabulary: Vocabulary, model: HasMetadata) -> PreTokenizer:
    """The vocabulary's pre-tokenizer: its own pipeline, else the one that its kind and name stand for."""
    if vocabulary.pipeline is not None:
        return PreTokenizer(vocabulary.pipeline, spans_words=True)
    if vocabulary.kind == "llama":
        escape = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
        prefix = [{"type": "Prepend", "prepend": SPACE}] if vocabulary.add_space_prefix else []
        return PreTokenizer(Pipeline([*prefix, escape]), add_bos=True)
    if vocabulary.kind != "gpt2":
        return PreTokenizer(Pipeline(), add_bos=vocabulary.kind != "t5")
    named = pre_tokenizers()
    if vocabulary.pre not in named:
        import difflib  # only when there is an error; imports delay start-up

        close = difflib.get_close_matches(vocabulary.pre[:60], named, n=3) or ["gpt-2", "llama-bpe", "qwen2"]
        raise MetadataReader(model).error(
            "pre",
            f"unknown pre-tokenizer `{vocabulary.pre[:60]}`; zeropoint knows {len(named)}, "
            f"such as {', '.join(close)}",
        )
    return named[vocabulary.pre]


def _build_encoders(vocabulary: Vocabulary, rules: PreTokenizer) -> Encoders:
    """The encoders of the vocabulary's kind. Rarer kinds are imported only when needed."""
    if vocabulary.kind == "bert":
        from zeropoint.tokenizers.formats.bert import bert_encoders

        return bert_encoders(vocabulary)
    if vocabulary.kind == "t5":
        from zeropoint.tokenizers.formats.t5 import t5_encoders

        return t5_encoders(vocabulary)
    if vocabulary.kind == "rwkv":
        from zeropoint.tokenizers.formats.rwkv import character_encoders, world_encoders

        return world_encoders(vocabulary) if vocabulary.has_escapes else character_encoders(vocabulary)
    if rules.pipeline.model.get("word_level"):
        from zeropoint.tokenizers.formats.words import word_encoders

        return word_encoders(vocabulary, rules.pipeline)
    return _bpe_encoders(vocabulary, rules)


def _bpe_encoders(vocabulary: Vocabulary, rules: PreTokenizer) -> Encoders:
    """Encoders over one BPE model, which the library shares between them."""
    pipeline = rules.pipeline
    control, user = added_tokens(vocabulary)
    model = _bpe_model(vocabulary, rules)
    special = build_encoder(model, pipeline, control, user)
    if _text_can_be_control(vocabulary, rules, special.pre_tokenizer):
        model = _bpe_model(vocabulary, rules, hidden=vocabulary.control_ids)
    plain = build_encoder(model, pipeline, [], user)
    continued = pipeline.continuation()
    return Encoders(
        plain,
        special,
        continuation=plain if continued == pipeline else build_encoder(model, continued, [], user),
        scanner=token_scanner(vocabulary, special.normalizer),
        space_after_special=pipeline.space_after_special,
        spans_words=rules.spans_words,
        may_panic=vocabulary.pipeline is not None and pipeline.may_panic,
    )


def _bpe_model(vocabulary: Vocabulary, rules: PreTokenizer, hidden: Collection[int] = ()) -> Any:
    """The library's model. hidden: control tokens that it shall not know, except the unknown token."""
    from tokenizers import models

    options = rules.pipeline.model
    has_bytes = bool(vocabulary.byte_ids)
    is_llama = vocabulary.kind == "llama"
    unknown = options.get("unk_token")
    if is_llama and not has_bytes and "unk" in vocabulary.special:
        unknown = vocabulary.tokens[vocabulary.special["unk"]]
    ids, merges = vocabulary.ids, vocabulary.merges
    if hidden:
        names = {vocabulary.tokens[index] for index in hidden} - {unknown}
        ids = {token: index for token, index in ids.items() if token not in names}
        merges = [merge for merge in merges if names.isdisjoint(merge)]
    return models.BPE(
        vocab=ids,
        merges=merges,
        fuse_unk=options.get("fuse_unk", is_llama),
        byte_fallback=is_llama and has_bytes,
        unk_token=unknown,
        ignore_merges=_ignores_merges(rules),
    )


def _ignores_merges(rules: PreTokenizer) -> bool:
    return rules.ignore_merges or bool(rules.pipeline.model.get("ignore_merges", False))


def _text_can_be_control(vocabulary: Vocabulary, rules: PreTokenizer, pre_tokenizer: Any) -> bool:
    """Whether a word of text could be a control token: only if words are looked up before merging."""
    if not _ignores_merges(rules):
        return False
    if vocabulary.pipeline is not None or pre_tokenizer is None:
        return True
    names = (vocabulary.tokens[index] for index in vocabulary.control_ids)
    return any(len(pre_tokenizer.pre_tokenize_str(name)) == 1 for name in names)


def _decode_sentencepiece(token: str) -> bytes:
    return token.replace(SPACE, " ").encode()


def _decode_word(token: str) -> bytes:
    return f" {token}".encode()


_DECODERS: dict[str, Callable[[str], bytes]] = {
    "byte_level": decode_byte_level,
    "sentencepiece": _decode_sentencepiece,
    "words": _decode_word,
    "characters": str.encode,
    "bytes": unescape_bytes,
}
