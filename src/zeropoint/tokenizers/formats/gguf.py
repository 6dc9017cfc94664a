"""A tokenizer from a GGUF file's metadata, on Hugging Face `tokenizers` (imported only here, on use).

`gpt2` is byte-level BPE: every byte is a printable character, words are cut by a pattern that the file
names. `llama` is SentencePiece BPE: spaces are `▁`, unknown characters fall back to byte tokens. `bert`
is WordPiece (bert.py), `t5` a unigram model (t5.py), `rwkv` single characters (rwkv.py).
"""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.errors import choices
from zeropoint.tokenizers.core.added_tokens import added_token, control_and_user_tokens, token_scanner
from zeropoint.tokenizers.core.metadata_reader import HasMetadata, MetadataReader
from zeropoint.tokenizers.core.tokenizer import Encoders, Tokenizer
from zeropoint.tokenizers.core.vocabulary import SPACE, Vocabulary, check_merges, read_vocabulary

if TYPE_CHECKING:
    import tokenizers

__all__ = ["Tokenizer", "import_tokenizers", "load_tokenizer"]


def import_tokenizers() -> None:
    """Import it ahead of others who take memory: where that is short it does not come at all."""
    import tokenizers  # noqa: F401


def load_tokenizer(model: HasMetadata, *, second_space: bool = True) -> Tokenizer:
    """The tokenizer of an opened model file. Raises BadModelFile naming the file and the key at fault.

    `llama`, where the file does not say `add_space_prefix` = false: a space is put before a text, also before
    one that begins with a space, and before what follows a control token or one of the user's. So do
    SentencePiece (at the start of a text, which is all that it knows), llama.cpp and the slow tokenizers of
    transformers. Its fast ones with `legacy` = false put one only at the start, and none before a space: a
    tokenizer.json of that kind is read as it says, with second_space = False, which no GGUF file can say.
    """
    vocabulary = read_vocabulary(model)
    rules: dict[str, Any] = {"add_bos": vocabulary.kind != "t5", "second_space": second_space}
    if vocabulary.kind == "gpt2":
        rules = _pretokenizer(vocabulary.pre, model)
    try:
        encoders = _encoders_of(vocabulary, rules)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as failure:  # a panic in Rust is not an Exception
        check_merges(model, vocabulary)
        raise MetadataReader(model).bad("tokens", f"no vocabulary comes of it: {failure}") from None
    add_bos = rules.get("add_bos", False) if vocabulary.add_bos is None else vocabulary.add_bos
    spell = {"gpt2": _spell_byte_level, "rwkv": _spell_literally}.get(vocabulary.kind, _spell_sentencepiece)
    return Tokenizer(vocabulary.compact(), encoders, spell, add_bos)


def _encoders_of(vocabulary: Vocabulary, rules: dict[str, Any]) -> Encoders:
    """Those of the vocabulary's kind; of the rarer ones a chat with another model imports none."""
    if vocabulary.kind == "bert":
        from zeropoint.tokenizers.formats.bert import bert_encoders

        return bert_encoders(vocabulary)
    if vocabulary.kind == "t5":
        from zeropoint.tokenizers.formats.t5 import t5_encoders

        return t5_encoders(vocabulary)
    if vocabulary.kind == "rwkv":
        from zeropoint.tokenizers.formats.rwkv import character_encoders

        return character_encoders(vocabulary)
    return _encoders(vocabulary, rules)


def _encoders(vocabulary: Vocabulary, rules: dict[str, Any]) -> Encoders:
    """Four views of one model: the library shares it between them, so each costs little."""
    import tokenizers
    from tokenizers import models

    has_bytes = bool(vocabulary.byte_ids)
    unknown = vocabulary.special.get("unk")
    llama = vocabulary.kind == "llama"
    model = models.BPE(
        vocab=vocabulary.ids,
        merges=vocabulary.merges,
        fuse_unk=llama,
        byte_fallback=llama and has_bytes,
        unk_token=vocabulary.tokens[unknown] if llama and not has_bytes and unknown is not None else None,
        ignore_merges=rules.get("ignore_merges", False),
    )
    control, user = control_and_user_tokens(vocabulary)

    def view(model: Any, specials: bool, inside: bool) -> tokenizers.Tokenizer:
        made = tokenizers.Tokenizer(model)
        if specials:
            made.add_special_tokens([added_token(token, True) for token in control])
        made.add_tokens([added_token(token, False) for token in user])
        _set_words(made, vocabulary, rules, inside)
        return made

    plain, full = view(model, False, False), view(model, True, False)
    finder = token_scanner(control, user)
    if not vocabulary.add_space_prefix:
        return Encoders(plain, full, plain, finder)
    return Encoders(plain, full, view(model, False, True), finder, restarts=rules["second_space"])


def _set_words(
    made: tokenizers.Tokenizer, vocabulary: Vocabulary, rules: dict[str, Any], inside: bool
) -> None:
    """Put in the steps that cut text into words."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    if vocabulary.kind == "llama":
        begins = vocabulary.add_space_prefix and not inside
        if begins and rules["second_space"]:
            made.normalizer = normalizers.Prepend(SPACE)
        scheme = "first" if begins and not rules["second_space"] else "never"
        made.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme=scheme, split=False)
        return
    if rules.get("nfc"):
        made.normalizer = normalizers.NFC()
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if rules.get("digits") else []
    steps += [pre_tokenizers.Split(Regex(split), behavior="isolated") for split in rules.get("splits", ())]
    use_regex = rules.get("gpt2_regex", False)
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex))
    made.pre_tokenizer = pre_tokenizers.Sequence(steps)


def _pretokenizer(name: str, model: HasMetadata) -> dict[str, Any]:
    """The rules for one value of `tokenizer.ggml.pre`."""
    table = tomllib.loads(Path(__file__).with_name("pretokenizers.toml").read_text("utf-8"))
    rules = {known: rule for rule in table["pretokenizer"] for known in rule["names"]}
    if name not in rules:
        raise MetadataReader(model).bad("pre", choices("pre-tokenizer", name[:60], rules))
    found: dict[str, Any] = rules[name]
    return found


@functools.cache
def _byte_of() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes for U+0100 onwards."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {chr(b): b for b in printed} | {chr(256 + i): b for i, b in enumerate(others)}


def _spell_byte_level(token: str) -> bytes:
    byte_of = _byte_of()
    try:
        return bytes(byte_of[character] for character in token)
    except KeyError:  # a token outside the alphabet is written as it is
        return token.encode()


def _spell_literally(token: str) -> bytes:
    return token.encode()


def _spell_sentencepiece(token: str) -> bytes:
    return token.replace(SPACE, " ").encode()
