"""Select the file of a repository for a model name with a complete, partial or no quantization.

Prefers files in a number format that zeropoint runs (the modules in `formats/`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zeropoint import registry
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = ["ListedFile", "SelectedModel", "format_of", "group_files", "is_supported", "select_files"]

_TAG = re.compile(
    r"(?:^|[-._/])(?:ud-)?(i?q\d(?:_\d|_k(?:_(?:xxs|xs|s|m|l|xl))?|_(?:xxs|xs|s|m|nl))*|tq\d_\d|mxfp4|nvfp4|[bf]?f16|fp16|f32|fp32)"
    r"(?=[-._/]|$)",
    re.IGNORECASE,
)
_SHARD = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.IGNORECASE)
_PREFERRED = ("Q4_K_M", "Q4_0", "Q4_1")  # in this order, if a name gives only `q4` or nothing
_LATTICE_MIXES = {"iq3_m": "iq3_s", "iq3_xs": "iq3_xxs", "iq2_m": "iq2_s"}  # with their main format
_FEW_BITS = re.compile(r"[it]?q[1-3]_", re.IGNORECASE)


@frozen
class ListedFile:
    """One file of a repository or folder: its path, size in bytes and SHA-256 (hex), if known."""

    file: str
    n_bytes: int | None = None
    sha256: str | None = None


@frozen
class SelectedModel:
    """The selected model: all its shards in order, and the number format in its name."""

    files: tuple[ListedFile, ...]
    format: str | None

    @property
    def n_bytes(self) -> int | None:
        """The total size of all shards; None if any is unknown."""
        sizes = [file.n_bytes for file in self.files]
        return None if any(size is None for size in sizes) else sum(size or 0 for size in sizes)


def format_of(file: str) -> str | None:
    """The number format in a GGUF file's name (`x-q4_k_m.gguf` -> `Q4_K_M`); None if it has none."""
    tags = _TAG.findall(file.rpartition("/")[2].removesuffix(".gguf")) or _TAG.findall(file)
    return {"FP16": "F16", "FP32": "F32"}.get(tag := tags[-1].upper(), tag) if tags else None


def is_supported(format: str | None) -> bool:
    """Whether zeropoint can run every tensor of a file with this format in its name."""
    if format is None:
        return False
    packages = ("zeropoint.formats", "zeropoint.formats._read_only")
    supported = {name for package in packages for name in registry.names(package)}
    mixed = re.fullmatch(r"(q\d_k)_(?:xs|s|m|l|xl)", format.lower())
    # llama.cpp's K mixes store the output matrix, and in the larger mixes other tensors, as Q6_K
    if mixed:
        return {mixed[1], "q6_k"} <= supported
    return _LATTICE_MIXES.get(format.lower(), format.lower()) in supported


def select_files(
    files: Iterable[ListedFile], where: str, *, quant: str | None = None, file: str | None = None
) -> SelectedModel:
    """Select one model among the files of `where`: by file name, by quantization, or the best that runs.

    quant: in any case, and a prefix is enough ("q8"). Without it, prefer Q4_K_M, then the smallest supported
    file of at least four bits per weight. Raises BadInput listing the alternatives.
    """
    models = group_files([item for item in files if item.file.lower().endswith(".gguf")])
    if not models:
        raise BadInput(f"{where} has no GGUF file; choose a repository with one (often named ...-GGUF)")
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
            f"{where}: {choices('quantization', quant, {model.format or '?' for model in models})}"
        )
    return min(close, key=_quant_rank)


def _default_rank(model: SelectedModel) -> tuple[bool, bool, bool, float, str]:
    is_runnable = is_supported(model.format)
    size = float("inf") if model.n_bytes is None else model.n_bytes
    is_preferred = is_runnable and model.format == _PREFERRED[0]
    has_few_bits = bool(_FEW_BITS.match(model.format or ""))
    return (not is_runnable, not is_preferred, has_few_bits, size, model.files[0].file)


def _quant_rank(model: SelectedModel) -> tuple[bool, int, str]:
    rank = _PREFERRED.index(model.format) if model.format in _PREFERRED else len(_PREFERRED)
    return (not is_supported(model.format), rank, model.files[0].file)


def group_files(files: list[ListedFile]) -> list[SelectedModel]:
    """Group files into models: shards together and in order; skip incomplete models and vision projectors."""
    models: list[SelectedModel] = []
    split: dict[tuple[str, int], dict[int, ListedFile]] = {}
    for item in files:
        if item.file.rpartition("/")[2].lower().startswith("mmproj"):
            continue
        match = _SHARD.match(item.file)
        if match is None:
            models.append(SelectedModel((item,), format_of(item.file)))
        else:
            key = (match["stem"], int(match["count"]))
            split.setdefault(key, {})[int(match["number"])] = item
    for (stem, count), shards in split.items():
        if sorted(shards) == list(range(1, count + 1)):
            models.append(SelectedModel(tuple(shards[number] for number in sorted(shards)), format_of(stem)))
    return models
