"""Verify a conversion's text: the result's tokenizer must give the ids of its source.

Both tokenizers are opened. They encode a varied text, every added token and spelled control tokens; the ids
must be equal. Special tokens, the tokens around a document, end tokens and the chat template are compared,
too. What only another program would do differently is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from zeropoint.convert.text_sample import CONTROL_SPELLINGS, SAMPLE
from zeropoint.convert.text_views import (
    OUR_KEYS,
    TextView,
    character_view,
    folder_view,
    gguf_view,
    json_view,
)
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.paths import display_path
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES
from zeropoint.tokenizers.formats.gguf_limits import inexpressible_in_gguf
from zeropoint.tokenizers.train.char import KIND, CharTokenizer
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.hf_folder import HfFolder
from zeropoint.weights.json_file import read_json_object
from zeropoint.weights.open_model import OpenedModel
from zeropoint.weights.run_checkpoint import RunCheckpoint

__all__ = ["verify_text"]

Notify = Callable[[str], None]
_SPECIAL_NAMES = {
    "bos": "beginning-of-sequence",
    "eos": "end-of-sequence",
    "unk": "unknown",
    "pad": "padding",
}


def verify_text(opened: OpenedModel, reopened: OpenedModel, target: Path, notify: Notify) -> None:
    """Compare the text of a result with that of its source.

    target: the result's name in messages. notify: called with a sentence for each thing that changes.
    Raises BadModelFile if the result's tokenizer cannot be opened or gives other ids, end tokens or template.
    """
    source, result = opened.file, reopened.file
    if type(source) is type(result):  # copied as it is
        if isinstance(result, GgufModel) and "tokenizer.ggml.model" in result.metadata:
            _try_to_open(result, notify)
        return
    if (before := _source_view(source)) is None:
        return
    name = display_path(target)
    after = _result_view(result, name, target)
    if after.n_vocab != reopened.blueprint.n_vocab and isinstance(result, GgufModel):
        raise BadModelFile(
            f"{name} was not written: its tokenizer has {after.n_vocab} tokens and its embedding "
            f"{reopened.blueprint.n_vocab} rows; repair the tokenizer of {source.name}"
        )
    _compare_ids(before, after, name)
    if reopened.blueprint.is_decoder:
        _compare_chat(before, after, name)
    _compare_special(before, after, notify)
    if isinstance(result, GgufModel):
        _compare_standard(result, before, notify)


def _source_view(file: GgufModel | HfFolder | RunCheckpoint) -> TextView | None:
    """The view of a source, or None if it has no tokenizer."""
    if isinstance(file, GgufModel):
        return gguf_view(file) if "tokenizer.ggml.tokens" in file.metadata else None
    if isinstance(file, HfFolder):
        return folder_view(file) if "tokenizer.json" in file.files else None
    if not file.tokenizer.is_file():
        return None
    kind = read_json_object(file.tokenizer, MAX_FILE_BYTES).get("kind")
    return character_view(CharTokenizer.load(file.tokenizer)) if kind == KIND else json_view(file.tokenizer)


def _result_view(file: GgufModel | HfFolder | RunCheckpoint, name: str, target: Path) -> TextView:
    try:
        if isinstance(file, GgufModel):
            return gguf_view(file)
        if isinstance(file, HfFolder):
            return folder_view(file)
    except BadInput as error:
        reason = str(error).removeprefix(f"{file.name}: ")
        raise BadModelFile(
            f"{name} was not written, because its tokenizer could not be opened: {reason}"
        ) from None
    raise BadModelFile(f"{name} is a training run; choose another target")


def _try_to_open(file: GgufModel, notify: Notify) -> None:
    try:
        gguf_view(file)
    except BadInput as error:
        reason = str(error).partition(": ")[2]
        notify(f"the tokenizer is copied, but zeropoint cannot use it: {reason}")


def _compare_ids(before: TextView, after: TextView, name: str) -> None:
    """Raise BadModelFile for the first text whose ids or decoded text differ."""
    for text in _texts(before):
        expected, found = before.encode(text), after.encode(text)
        if expected != found:
            raise _difference(name, text, expected, found)
        if before.decode(expected) == text and after.decode(expected).lstrip(" ") != text.lstrip(" "):
            raise BadModelFile(
                f"{name} was not written: its tokenizer would decode the text {_excerpt(text)} to "
                "another one, unlike that of its source; use the model in its own format"
            )
    if before.alphabet:
        return
    for text in SAMPLE:
        if (expected := before.encode_plain(text)) != (found := after.encode_plain(text)):
            raise _difference(name, text, expected, found)


def _texts(view: TextView) -> Iterator[str]:
    if view.alphabet:
        yield "".join(filter(set(view.alphabet).__contains__, "\n".join(SAMPLE)))
        yield view.alphabet
        return
    yield from SAMPLE
    yield CONTROL_SPELLINGS
    for token in view.added:
        yield f"a {token} b{token}c  {token}\n\n{token}1"


def _difference(name: str, text: str, expected: Sequence[int], found: Sequence[int]) -> BadModelFile:
    pairs = zip(expected, found, strict=False)
    at = next((i for i, (left, right) in enumerate(pairs) if left != right), min(len(expected), len(found)))
    return BadModelFile(
        f"{name} was not written: the text {_excerpt(text)} would get other token ids than from its "
        f"source (from token {at}: {list(found[at : at + 4])} instead of {list(expected[at : at + 4])}); use "
        "the model in its own format"
    )


def _excerpt(text: str) -> str:
    return repr(text) if len(text) <= 60 else repr(text[:60]) + "..."


def _compare_chat(before: TextView, after: TextView, name: str) -> None:
    """Raise BadModelFile if the start of a text, the end of answers or the template would differ."""
    if before.begin != after.begin:
        old, new = (before.decode(ids) if ids else "no special token" for ids in (before.begin, after.begin))
        raise BadModelFile(
            f"{name} was not written: a text would begin with {new!r} instead of {old!r}; use the model in "
            "its own format"
        )
    if missing := before.stop_ids - after.stop_ids:
        tokens = ", ".join(repr(before.decode([index])) for index in sorted(missing))
        raise BadModelFile(
            f"{name} was not written: answers would no longer end at {tokens}; use the model in its own "
            "format"
        )
    if before.template is not None and before.template != after.template:
        raise BadModelFile(
            f"{name} was not written: its chat template is not that of its source; report this with the "
            "model's name"
        )


def _compare_special(before: TextView, after: TextView, notify: Notify) -> None:
    """Report special tokens, and tokens around a document, that differ."""
    for key, index in before.special.items():
        if after.special.get(key) != index:
            notify(f"not preserved: the {_SPECIAL_NAMES[key]} token, {before.decode([index])!r}")
    for verb, old, new in (("begins", before.begin, after.begin), ("ends", before.end, after.end)):
        if old and old != new:
            shown = before.decode(old)
            notify(f"not preserved: a document {verb} with {shown!r} in the source, but not in the result")
        elif old != new:
            shown = after.decode(new)
            notify(f"not preserved: a document {verb} with {shown!r} in the result, but not in the source")


def _compare_standard(file: GgufModel, before: TextView, notify: Notify) -> None:
    """Report texts that a program encodes differently if it does not read the keys of zeropoint's own."""
    if not any(key.startswith(OUR_KEYS) for key in file.metadata):
        return
    try:
        standard = gguf_view(file, without_our_keys=True)
    except BadInput:
        notify("other programs cannot use the tokenizer of the result: GGUF has no name for its steps")
        return
    for text in _texts(before):
        if before.encode(text) != standard.encode(text):
            for difference in inexpressible_in_gguf(file.metadata):
                notify(difference)
            return
