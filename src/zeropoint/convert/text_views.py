"""A model's tokenizer seen from outside: ids of texts, special tokens and the chat template.

Each kind of model file has its own program for text: a GGUF file our tokenizer, a Hugging Face folder the
`tokenizers` library, a training run either. `verify_text` compares two such views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadModelFile
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.metadata_reader import HasMetadata
from zeropoint.tokenizers.core.quiet_panics import quiet_panics
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tokenizers.train.char import CharTokenizer
from zeropoint.weights.hf_folder import HfFolder

if TYPE_CHECKING:
    import tokenizers

__all__ = ["OUR_KEYS", "TextView", "character_view", "folder_view", "gguf_view", "json_view"]

OUR_KEYS = "zeropoint.tokenizer."
"""Metadata that only zeropoint reads begins with this."""
_SPECIAL = ("bos", "eos", "unk", "pad")


@frozen
class TextView:
    """What a tokenizer does with text.

    encode: ids of a text in which control tokens count as such, without BOS. encode_plain: the same with
    control tokens as text. decode: the text of ids. begin, end: ids that it puts around a document. special:
    bos, eos, unk and pad to id, as far as they exist. stop_ids: tokens that end a reply. added: tokens that
    it finds in a text before splitting it. alphabet: the characters that it can encode; "" for all.
    """

    encode: Callable[[str], list[int]]
    encode_plain: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    n_vocab: int
    begin: tuple[int, ...] = ()
    end: tuple[int, ...] = ()
    special: Mapping[str, int] = field(default_factory=dict)
    stop_ids: frozenset[int] = frozenset()
    added: tuple[str, ...] = ()
    alphabet: str = ""
    template: str | None = None


def gguf_view(file: HasMetadata, *, without_our_keys: bool = False) -> TextView:
    """The view of a GGUF file. without_our_keys: as a program sees it that reads only the standard's keys.

    Raises BadModelFile.
    """
    metadata: Mapping[str, Any] = file.metadata
    if without_our_keys:
        metadata = {key: metadata[key] for key in metadata if not key.startswith(OUR_KEYS)}
        file = SimpleNamespace(metadata=metadata, paths=getattr(file, "paths", ()))
    tokenizer = load_tokenizer(file)
    ids = {name: getattr(tokenizer, f"{name}_id") for name in _SPECIAL}
    adds_eos = metadata.get("tokenizer.ggml.add_eos_token") is True
    ends = [(tokenizer.sep_id, tokenizer.add_sep), (tokenizer.eos_id, adds_eos and not tokenizer.add_sep)]
    has_characters = metadata.get("tokenizer.ggml.model") == "rwkv"
    return TextView(
        encode=lambda text: tokenizer.encode(text, parse_special=True),
        encode_plain=tokenizer.encode,
        decode=tokenizer.decode,
        n_vocab=tokenizer.n_vocab,
        begin=(tokenizer.bos_id,) if tokenizer.add_bos and tokenizer.bos_id is not None else (),
        end=tuple(index for index, is_added in ends if is_added and index is not None),
        special={name: index for name, index in ids.items() if index is not None},
        stop_ids=tokenizer.stop_ids,
        added=tokenizer.control_tokens,
        alphabet="".join(tokenizer.decode([i]) for i in range(tokenizer.n_vocab)) if has_characters else "",
        template=_text(metadata.get("tokenizer.chat_template")),
    )


def folder_view(folder: HfFolder) -> TextView:
    """The view of a Hugging Face folder with a tokenizer.json. Raises BadModelFile."""
    settings = folder.json("special_tokens_map.json") | folder.json("tokenizer_config.json")
    generation = folder.json("generation_config.json")
    return json_view(folder.files["tokenizer.json"], settings, (folder.config, generation), folder.template)


def json_view(
    path: Path,
    settings: Mapping[str, Any] | None = None,
    configs: Sequence[Mapping[str, Any]] = (),
    template: str | None = None,
) -> TextView:
    """The view of a tokenizer.json.

    settings: tokenizer_config.json, which spells the special tokens. configs: config.json and
    generation_config.json, which name them by id. Raises BadModelFile.
    """
    library = _open_library(path)
    found = {name: _special_id(name, library, settings or {}, configs) for name in _SPECIAL}
    special = {name: index for name, index in found.items() if index is not None}
    ends = {index for config in configs for index in _ids(config.get("eos_token_id"))}
    begin, end = _document_ends(library)
    if library.post_processor is None and (settings or {}).get("add_bos_token") is True and "bos" in special:
        begin = (special["bos"],)
    added = library.get_added_tokens_decoder()
    is_word_level = type(library.model).__name__ == "WordLevel"
    has_characters = is_word_level and all(len(token) == 1 for token in library.get_vocab())
    return TextView(
        encode=lambda text: list(library.encode(text, add_special_tokens=False).ids),
        encode_plain=lambda text: _encode_plain(library, text),
        decode=lambda ids: library.decode(list(ids), skip_special_tokens=False),
        n_vocab=library.get_vocab_size(with_added_tokens=True),
        begin=begin,
        end=end,
        special=special,
        stop_ids=frozenset(
            index
            for index in ends.union([special["eos"]] if "eos" in special else [])
            if library.id_to_token(index) is not None
        ),
        added=tuple(added[index].content for index in sorted(added)),
        alphabet="".join(sorted(library.get_vocab())) if has_characters else "",
        template=template,
    )


def character_view(tokenizer: CharTokenizer) -> TextView:
    """The view of a training run's character vocabulary."""
    end = tokenizer.end_id
    return TextView(
        encode=tokenizer.encode,
        encode_plain=tokenizer.encode,
        decode=tokenizer.decode,
        n_vocab=tokenizer.n_vocab,
        special={} if end is None else {"eos": end},
        stop_ids=frozenset() if end is None else frozenset({end}),
        alphabet="".join(tokenizer.characters),
    )


def _open_library(path: Path) -> tokenizers.Tokenizer:
    import tokenizers

    try:
        with quiet_panics():
            # not `from_file`, which refuses a byte-order mark
            library = tokenizers.Tokenizer.from_str(path.read_text("utf-8-sig"))
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as failure:  # a Rust panic is not an Exception
        raise BadModelFile(
            f"{path}: the tokenizers library cannot open it: {printable(str(failure), 200)}"
        ) from None
    # A file may ask for batches of one length, as those of sentence-transformers do; that is not its text.
    library.no_padding()
    library.no_truncation()
    return library


def _encode_plain(library: tokenizers.Tokenizer, text: str) -> list[int]:
    library.encode_special_tokens = True
    try:
        return list(library.encode(text, add_special_tokens=False).ids)
    finally:
        library.encode_special_tokens = False


def _document_ends(library: tokenizers.Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the post-processor puts before and after a document."""
    if library.num_special_tokens_to_add(is_pair=False) == 0:
        return (), ()
    encoded = library.encode("a")
    ids, inside = tuple(encoded.ids), [i for i, mask in enumerate(encoded.special_tokens_mask) if not mask]
    return (ids[: inside[0]], ids[inside[-1] + 1 :]) if inside else (ids, ())


def _special_id(
    name: str,
    library: tokenizers.Tokenizer,
    settings: Mapping[str, Any],
    configs: Sequence[Mapping[str, Any]],
) -> int | None:
    """The id of a special token: by its spelling, else the first that a config names."""
    token = settings.get(f"{name}_token")
    token = token.get("content") if isinstance(token, dict) else token
    index = library.token_to_id(token) if isinstance(token, str) else None
    if index is not None:
        return index
    named = (index for config in configs for index in _ids(config.get(f"{name}_token_id")))
    return next((index for index in named if library.id_to_token(index) is not None), None)


def _ids(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [index for index in values if type(index) is int and index >= 0]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
