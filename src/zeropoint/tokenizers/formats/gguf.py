"""Build a tokenizer from GGUF metadata on Hugging Face `tokenizers` (imported on first use).

`gpt2` is byte-level BPE: every byte is a printable character, and the file names its pre-tokenizer. `llama`
is SentencePiece BPE: spaces are `▁`, unknown characters fall back to byte tokens. `bert` is WordPiece
(bert.py), `t5` a unigram model (t5.py), `rwkv` single characters (rwkv.py).
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.errors import choices
from zeropoint.tokenizers.core.added_tokens import added_token, control_and_user_tokens, token_scanner
from zeropoint.tokenizers.core.byte_level import decode_byte_level
from zeropoint.tokenizers.core.metadata_reader import HasMetadata, MetadataReader
from zeropoint.tokenizers.core.tokenizer import Encoders, Tokenizer
from zeropoint.tokenizers.core.vocabulary import SPACE, Vocabulary, check_merges, read_vocabulary

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer", "import_tokenizers", "load_tokenizer"]


def import_tokenizers() -> None:
    """Import the library before other parts allocate memory: with too little left its import fails."""
    import tokenizers  # noqa: F401


def load_tokenizer(model: HasMetadata, *, legacy: bool = True) -> Tokenizer:
    """Build the tokenizer of a model file. Raises BadModelFile naming the file and the key at fault.

    `llama`, unless the file sets `add_space_prefix` = false: a space is prepended to a text, even if it
    begins with a space, and to whatever follows a control or user-defined token. This is the behaviour of
    SentencePiece (at the start of a text), llama.cpp and transformers' slow tokenizers. Transformers' fast
    tokenizers with `legacy` = false prepend one only at the start, and not before a space; pass legacy=False
    for such a tokenizer.json (GGUF cannot express it).
    """
    vocabulary = read_vocabulary(model)
    rules: dict[str, Any] = {"add_bos": vocabulary.kind != "t5", "legacy": legacy}
    if vocabulary.kind == "gpt2":
        rules = _pre_tokenizer_rules(vocabulary.pre, model)
    try:
        encoders = _build_encoders(vocabulary, rules)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as failure:  # a Rust panic is not an Exception
        check_merges(model, vocabulary)
        raise MetadataReader(model).error("tokens", f"not a valid vocabulary: {failure}") from None
    add_bos = rules.get("add_bos", False) if vocabulary.add_bos is None else vocabulary.add_bos
    token_decoders: dict[str, Callable[[str], bytes]] = {"gpt2": decode_byte_level, "rwkv": str.encode}
    token_decoder = token_decoders.get(vocabulary.kind, _decode_sentencepiece)
    return Tokenizer(vocabulary.compact(), encoders, token_decoder, add_bos)


def _build_encoders(vocabulary: Vocabulary, rules: dict[str, Any]) -> Encoders:
    """The encoders of the vocabulary's kind. Rarer kinds are imported only when needed."""
    if vocabulary.kind == "bert":
        from zeropoint.tokenizers.formats.bert import bert_encoders

        return bert_encoders(vocabulary)
    if vocabulary.kind == "t5":
        from zeropoint.tokenizers.formats.t5 import t5_encoders

        return t5_encoders(vocabulary)
    if vocabulary.kind == "rwkv":
        from zeropoint.tokenizers.formats.rwkv import character_encoders

        return character_encoders(vocabulary)
    return _bpe_encoders(vocabulary, rules)


def _bpe_encoders(vocabulary: Vocabulary, rules: dict[str, Any]) -> Encoders:
    """Encoders over one BPE model, which the library shares between them."""
    import tokenizers
    from tokenizers import models

    has_bytes = bool(vocabulary.byte_ids)
    unknown = vocabulary.special.get("unk")
    is_llama = vocabulary.kind == "llama"
    model = models.BPE(
        vocab=vocabulary.ids,
        merges=vocabulary.merges,
        fuse_unk=is_llama,
        byte_fallback=is_llama and has_bytes,
        unk_token=vocabulary.tokens[unknown] if is_llama and not has_bytes and unknown is not None else None,
        ignore_merges=rules.get("ignore_merges", False),
    )
    control, user = control_and_user_tokens(vocabulary)

    def view(model: Any, parse_special: bool, is_continuation: bool) -> tokenizers.Tokenizer:
        encoder = tokenizers.Tokenizer(model)
        if parse_special:
            encoder.add_special_tokens([added_token(token, True) for token in control])
        encoder.add_tokens([added_token(token, False) for token in user])
        _set_pre_tokenizer(encoder, vocabulary, rules, is_continuation)
        return encoder

    plain, special = view(model, False, False), view(model, True, False)
    scanner = token_scanner(control, user)
    if not vocabulary.add_space_prefix:
        return Encoders(plain, special, plain, scanner)
    continuation = view(model, False, True)
    return Encoders(plain, special, continuation, scanner, space_after_special=rules["legacy"])


def _set_pre_tokenizer(
    encoder: tokenizers.Tokenizer, vocabulary: Vocabulary, rules: dict[str, Any], is_continuation: bool
) -> None:
    """Set the normalizer and the pre-tokenizer."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    if vocabulary.kind == "llama":
        has_prefix = vocabulary.add_space_prefix and not is_continuation
        if has_prefix and rules["legacy"]:
            encoder.normalizer = normalizers.Prepend(SPACE)
        scheme = "first" if has_prefix and not rules["legacy"] else "never"
        encoder.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=SPACE, prepend_scheme=scheme, split=False
        )
        return
    if rules.get("nfc"):
        encoder.normalizer = normalizers.NFC()
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if rules.get("digits") else []
    steps += [pre_tokenizers.Split(Regex(split), behavior="isolated") for split in rules.get("splits", ())]
    use_regex = rules.get("gpt2_regex", False)
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex))
    encoder.pre_tokenizer = pre_tokenizers.Sequence(steps)


def _pre_tokenizer_rules(name: str, model: HasMetadata) -> dict[str, Any]:
    """The rules for a value of `tokenizer.ggml.pre`."""
    table = tomllib.loads(Path(__file__).with_name("pretokenizers.toml").read_text("utf-8"))
    rules = {known: rule for rule in table["pretokenizer"] for known in rule["names"]}
    if name not in rules:
        raise MetadataReader(model).error("pre", choices("pre-tokenizer", name[:60], rules))
    rule: dict[str, Any] = rules[name]
    return rule


def _decode_sentencepiece(token: str) -> bytes:
    return token.replace(SPACE, " ").encode()
