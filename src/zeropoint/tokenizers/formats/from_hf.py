"""Convert the tokenizer files of a Hugging Face folder to GGUF metadata.

Byte-level BPE becomes `gpt2` with the name of its pre-tokenizer (found by comparison with
`pretokenizers.toml`, never guessed); SentencePiece BPE becomes `llama`; WordPiece becomes `bert`
(`from_hf_bert.py`); Unigram becomes `t5`; a WordLevel model of single characters becomes `rwkv`. Steps and
models that GGUF cannot express, such as one of whole words, are kept under a key of our own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from zeropoint.tokenizers.core.added_tokens import FLAGS, FLAGS_KEY
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode
from zeropoint.tokenizers.core.character_vocab import character_metadata
from zeropoint.tokenizers.core.metadata_reader import BYTE, NORMAL
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY
from zeropoint.tokenizers.core.special_tokens import END_OF_MESSAGE, end_of_turn_id
from zeropoint.tokenizers.core.vocabulary import CONTROL, UNKNOWN, UNUSED, USER_DEFINED
from zeropoint.tokenizers.formats.from_hf_bert import wordpiece_metadata
from zeropoint.tokenizers.formats.hf_pipeline import llama_prefix, pre_tokenizer_name, read_pipeline, steps_of
from zeropoint.tokenizers.formats.json_field import JsonField
from zeropoint.tokenizers.formats.rwkv import has_only_characters
from zeropoint.tokenizers.formats.t5 import unigram_metadata, unigram_pieces
from zeropoint.tokenizers.formats.words import word_metadata

__all__ = ["gguf_metadata", "special_ids"]

_END_KEY, _ADD_EOS_KEY = "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_eos_token"
_SPECIAL = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}
_KINDS = ("BPE", "WordPiece", "Unigram", "WordLevel")


def gguf_metadata(
    tokenizer: Mapping[str, Any],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
    n_vocab: int,
    *,
    generation: Mapping[str, Any] | None = None,
    template: str | None = None,
    name: str = "tokenizer.json",
) -> dict[str, Any]:
    """The `tokenizer.*` keys from tokenizer.json, tokenizer_config.json (settings) and config.json.

    n_vocab: rows of the embedding; rows without a token get an unused token. generation:
    generation_config.json, which may name more end tokens. template: the chat template.
    What GGUF cannot express is added under keys of our own (`core/pipeline.py`, `core/added_tokens.py`).
    Raises BadModelFile naming the file and the part that is not supported.
    """
    content = JsonField(dict(tokenizer), name)
    folder = name.removesuffix("tokenizer.json")
    config_json = JsonField(dict(config), f"{folder}config.json")
    generation_json = JsonField(dict(generation or {}), f"{folder}generation_config.json")
    settings_json = JsonField(dict(settings), f"{folder}tokenizer_config.json")
    model = content["model"]
    model.as_object(required=True)
    kind = model["type"].as_text("BPE")
    if kind not in _KINDS:
        raise model["type"].error(
            f"is {kind!r}, which GGUF does not support; it must be one of {', '.join(_KINDS)}"
        )
    tokens, types = _tokens(content, model, kind, n_vocab)
    configs = (config_json, generation_json)
    if kind == "WordLevel" and has_only_characters(content, tokens):
        characters = {token: index for index, token in enumerate(tokens)}
        end = special_ids(settings_json, configs, model, characters).get(_END_KEY)
        return character_metadata(tokens) | ({} if end is None else {_END_KEY: end})
    flags = _added_token_flags(content)
    if kind == "WordPiece":
        return wordpiece_metadata(content, settings_json, tokens, types) | flags
    if kind == "Unigram":
        metadata = unigram_metadata(content, tokens, types) | _document_flags(content)
    else:
        is_bpe = kind == "BPE"
        metadata = (_bpe_metadata if is_bpe else word_metadata)(content, tokens, types)
        metadata["tokenizer.ggml.add_bos_token"] = _adds_bos(content, settings_json)
        if _document_flags(content)[_ADD_EOS_KEY]:
            metadata[_ADD_EOS_KEY] = True
    ids = {token: index for index, token in enumerate(metadata["tokenizer.ggml.tokens"])}
    metadata |= special_ids(settings_json, configs, model, ids) | flags
    if template is not None and kind in ("BPE", "WordLevel"):
        metadata["tokenizer.chat_template"] = template
    return metadata


def _tokens(content: JsonField, model: JsonField, kind: str, n_vocab: int) -> tuple[list[str], list[int]]:
    """Tokens by id and their GGUF types; ids without a token get an unused one."""
    tokens = [f"[PAD{i}]" for i in range(n_vocab)]
    types = [UNUSED] * n_vocab
    vocab = model["vocab"]
    if kind == "Unigram":
        pieces = [piece for piece, _ in unigram_pieces(model)]
        entries: dict[str, Any] = {piece: index for index, piece in enumerate(pieces)}
        unknown_id = model["unk_id"].as_int() if model["unk_id"] else -1
        unknown = pieces[unknown_id] if 0 <= unknown_id < len(pieces) else None
    else:
        entries = vocab.as_object(required=True)
        unknown = model["unk_token"].as_text("") or None
    has_bytes = model["byte_fallback"].as_bool(False)
    for token, index in entries.items():
        _check_id(vocab, token, index, n_vocab)
        tokens[index] = token
        types[index] = BYTE if has_bytes and _is_byte_token(token) else NORMAL
        if token == unknown:
            types[index] = UNKNOWN
    for added in content["added_tokens"].items():
        token, index = added["content"].as_text(), added["id"].as_int()
        _check_id(added, token, index, n_vocab)
        tokens[index] = token
        if token != unknown:
            types[index] = CONTROL if added["special"].as_bool(False) else USER_DEFINED
    JsonField("".join(tokens), vocab.name, vocab.path).as_text()  # checks that every token is Unicode
    return tokens, types


def _added_token_flags(content: JsonField) -> dict[str, str]:
    """Our key for the flags of added tokens. It is written even without flags, so that none is guessed."""
    flags: dict[str, list[int]] = {}
    for added in content["added_tokens"].items():
        for flag in FLAGS:
            if added[flag].as_bool(False):
                flags.setdefault(flag, []).append(added["id"].as_int())
    return {FLAGS_KEY: json.dumps(flags, separators=(",", ":"))}


def _bpe_metadata(content: JsonField, tokens: list[str], types: list[int]) -> dict[str, Any]:
    """The keys of a BPE vocabulary: `llama` if unknown characters fall back to bytes, else `gpt2`."""
    model = content["model"]
    for option in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model[option].as_text(""):
            raise model[option].error("is not supported; train the tokenizer without it")
    is_llama = model["byte_fallback"].as_bool(False)
    pipeline = read_pipeline(content, _model_options(model, tokens, is_llama))
    merges = list(_merges(model["merges"], frozenset(tokens)))
    name: str | None = "default"
    metadata: dict[str, Any] = {"tokenizer.ggml.model": "llama" if is_llama else "gpt2"}
    if is_llama:
        merges = _spell_bytes(tokens, types, merges)
        prefix = llama_prefix(pipeline)
        metadata["tokenizer.ggml.scores"] = _scores(tokens, merges)
        metadata["tokenizer.ggml.add_space_prefix"] = (
            pipeline.continuation() != pipeline if prefix is None else prefix
        )
        is_known = prefix is not None and not pipeline.model
    else:
        name = pre_tokenizer_name(pipeline)
        is_known = name is not None and not pipeline.model.keys() - {"ignore_merges"}
    if not is_known:
        metadata[PIPELINE_KEY] = pipeline.to_json()
    return metadata | {
        "tokenizer.ggml.pre": name or "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
    }


def _model_options(model: JsonField, tokens: Sequence[str], is_llama: bool) -> dict[str, Any]:
    """The options of a BPE model that GGUF lacks and that have an effect on ids."""
    options: dict[str, Any] = {}
    if model["ignore_merges"].as_bool(False):
        options["ignore_merges"] = True
    has_every_byte = not set(bytes_to_unicode().values()).difference(tokens)
    unknown = model["unk_token"].as_text("")
    if unknown and not is_llama and not has_every_byte:
        if unknown not in tokens:
            raise model["unk_token"].error(f"is {unknown!r:.60}, which is not a token")
        options["unk_token"] = unknown
        options["fuse_unk"] = model["fuse_unk"].as_bool(False)
    return options


def _spell_bytes(tokens: list[str], types: list[int], merges: list[str]) -> list[str]:
    """Rename byte tokens that are spelled as their character, in place; the merges that remain.

    Gemma's tokenizer.json spells <0x09> as a tab, its SentencePiece model does not, and GGUF needs all 256.
    """
    ids = {token: index for index, token in enumerate(tokens)}
    if "<0x00>" not in ids:
        return merges
    for byte in range(128):
        character, name = chr(byte), f"<0x{byte:02X}>"
        if name in ids or character not in ids or character == " ":
            continue
        tokens[ids[character]], types[ids[character]] = name, BYTE
        merges = [merge for merge in merges if character not in merge.split(" ", 1)]
    return merges


def special_ids(
    settings: JsonField, configs: Sequence[JsonField], model: JsonField, ids: Mapping[str, int]
) -> dict[str, int | list[int]]:
    """Ids of the special tokens: by their spelling in tokenizer_config.json, else by id in `configs`.

    A model may have several end tokens.
    Llama 3.1 lists three in config.json, Phi-3 in generation_config.json.
    """
    special_ids: dict[str, int | list[int]] = {}
    for name, key in _SPECIAL.items():
        token = settings[f"{name}_token"]
        if isinstance(token.value, dict):
            token = token["content"]
        named = [ids[text]] if (text := token.as_text("")) in ids else []
        named += [index for part in configs for index in _ids(part[f"{name}_token_id"], len(ids))]
        if name == "unk" and not named:
            index = ids.get(model["unk_token"].as_text(""))
            named = _ids(model["unk_id"], len(ids)) if index is None else [index]
        if named:
            special_ids[f"tokenizer.ggml.{key}"] = named[0]
        if name == "eos" and len(set(named)) > 1:
            special_ids["tokenizer.ggml.eos_token_ids"] = sorted(set(named))
    for key, index in (("eot", end_of_turn_id(ids)), ("eom", ids.get(END_OF_MESSAGE))):
        if index is not None:
            special_ids[f"tokenizer.ggml.{key}_token_id"] = index
    return special_ids


def _ids(field: JsonField, n_vocab: int) -> list[int]:
    """The token ids in an id, a list of ids, or neither."""
    values = field.value if isinstance(field.value, list) else [field.value]
    return [index for index in values if type(index) is int and 0 <= index < n_vocab]


def _adds_bos(content: JsonField, settings: JsonField) -> bool:
    """Whether a document begins with BOS: according to the post-processor, else to the settings."""
    single = _template(content)
    if single is None:
        return settings["add_bos_token"].as_bool(False) and not content["post_processor"]
    return bool(single) and "SpecialToken" in single[0]


def _document_flags(content: JsonField) -> dict[str, bool]:
    """Whether a document gets a special token at its beginning and at its end."""
    single = _template(content) or [{}]
    return {
        "tokenizer.ggml.add_bos_token": "SpecialToken" in single[0],
        _ADD_EOS_KEY: "SpecialToken" in single[-1],
    }


def _template(content: JsonField) -> list[dict[str, Any]] | None:
    """The parts of a single document in the post-processor's template, or None if it has none."""
    for step in steps_of(content["post_processor"], "processors"):
        if step["type"].value == "TemplateProcessing":
            return [part.as_object(required=True) for part in step["single"].items()]
    return None


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """SentencePiece's scores: the negated rank of the first merge that produces a token."""
    rank: dict[str, int] = {}
    for merge in merges:
        rank.setdefault(merge.replace(" ", "", 1), len(rank))
    return [float(-rank.get(token, len(rank))) for token in tokens]


def _merges(merges: JsonField, tokens: Collection[str]) -> Iterator[str]:
    """Merges as GGUF writes them, with a space between the two tokens."""
    for index, merge in enumerate(merges.as_list()):
        match merge:
            case str():
                left, _, right = merge.partition(" ")
            case [str(left), str(right)] if " " not in left:
                pass
            case _:
                left = right = ""
        if not left or left not in tokens or right not in tokens or left + right not in tokens:
            raise JsonField(merge, merges.name, f"{merges.path}[{index}]").error(
                f"must join two tokens, the first without a space, into a third; it is {merge!r:.60}"
            )
        yield f"{left} {right}"


def _check_id(field: JsonField, token: str, index: Any, n_vocab: int) -> None:
    if type(index) is not int or not 0 <= index < n_vocab:
        raise field.error(f"gives token {token!r:.60} the id {index!r:.30}; the embedding has {n_vocab} rows")


def _is_byte_token(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")
