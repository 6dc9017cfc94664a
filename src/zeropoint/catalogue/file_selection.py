"""Which file of a repository is taken when a name gives a quantisation, a part of one, or none.

The folder `formats/` says which number formats run here; a file in one of them is preferred.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zeropoint import registry
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = ["Choice", "Listed", "choose", "format_of", "runs_here"]

_TAG = re.compile(
    r"(?:^|[-._/])(?:ud-)?(i?q\d(?:_\d|_k(?:_(?:xxs|xs|s|m|l|xl))?|_(?:xxs|xs|s|m|nl))*|tq\d_\d|mxfp4|[bf]?f16|fp16|f32|fp32)"
    r"(?=[-._/]|$)",
    re.IGNORECASE,
)
_SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)
_BEST = ("Q4_K_M", "Q4_0", "Q4_1")  # the order in which `q4` and no quantisation at all are filled


@frozen
class Listed:
    """One file of a repository: its path there, its size in bytes and its sha256 (hex) where known."""

    file: str
    n_bytes: int | None = None
    sha256: str | None = None


@frozen
class Choice:
    """The model that was taken: all its shards in order, and the format that its name tells of."""

    files: tuple[Listed, ...]
    format: str | None

    @property
    def n_bytes(self) -> int | None:
        """The size of all shards; None if one is unknown."""
        sizes = [listed.n_bytes for listed in self.files]
        return None if any(size is None for size in sizes) else sum(size or 0 for size in sizes)


def format_of(file: str) -> str | None:
    """The number format in a GGUF file's name (`x-q4_k_m.gguf` -> `Q4_K_M`); None if it has none."""
    found = _TAG.findall(file.rpartition("/")[2].removesuffix(".gguf")) or _TAG.findall(file)
    return {"FP16": "F16", "FP32": "F32"}.get(tag := found[-1].upper(), tag) if found else None


def runs_here(format: str | None) -> bool:
    """Whether the tensors of a file with this format tag are all of formats that `formats/` has."""
    if format is None:
        return False
    ours = set(registry.names("zeropoint.formats"))
    mixed = re.fullmatch(r"(q\d_k)_(?:xs|s|m|l|xl)", format.lower())
    # llama.cpp's K mixes keep the output matrix, and in the larger ones others too, as Q6_K
    return {mixed[1], "q6_k"} <= ours if mixed else format.lower() in ours


def choose(
    listed: Iterable[Listed], where: str, *, quant: str | None = None, file: str | None = None
) -> Choice:
    """Pick one model among the files of `where`: by name, by quantisation (any case, a prefix is enough),
    or the best that runs here. Raises: BadInput naming what there is.
    """
    models = _group([item for item in listed if item.file.lower().endswith(".gguf")])
    if not models:
        raise BadInput(f"{where} has no GGUF file; name a repository that has one (often called ...-GGUF)")
    if file is not None:
        for model in models:
            if any(shard.file == file for shard in model.files):
                return model
        raise BadInput(f"{where}: {choices('file', file, [model.files[0].file for model in models])}")
    if quant is None:
        return min(models, key=_default_rank)
    exact = [model for model in models if (model.format or "").lower() == quant.lower()]
    close = exact or [model for model in models if (model.format or "").lower().startswith(quant.lower())]
    if not close:
        raise BadInput(
            f"{where}: {choices('quantisation', quant, {model.format or '?' for model in models})}"
        )
    return min(close, key=_quant_rank)


def _default_rank(model: Choice) -> tuple[bool, bool, float, str]:
    is_runnable = runs_here(model.format)
    size = float("inf") if model.n_bytes is None else model.n_bytes
    return (not is_runnable, not (is_runnable and model.format == _BEST[0]), size, model.files[0].file)


def _quant_rank(model: Choice) -> tuple[bool, int, str]:
    place = _BEST.index(model.format) if model.format in _BEST else len(_BEST)
    return (not runs_here(model.format), place, model.files[0].file)


def _group(listed: list[Listed]) -> list[Choice]:
    """Files as models: the shards of a split model together and in order, projectors left out."""
    whole: list[Choice] = []
    split: dict[tuple[str, int], dict[int, Listed]] = {}
    for item in listed:
        if item.file.rpartition("/")[2].lower().startswith("mmproj"):
            continue
        match = _SHARD.match(item.file)
        if match is None:
            whole.append(Choice((item,), format_of(item.file)))
        else:
            key = (match["stem"], int(match["count"]))
            split.setdefault(key, {})[int(match["number"])] = item
    for (stem, count), shards in split.items():
        if sorted(shards) == list(range(1, count + 1)):
            whole.append(Choice(tuple(shards[number] for number in sorted(shards)), format_of(stem)))
    return whole
