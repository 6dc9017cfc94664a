"""Which tensor becomes what, when a model moves into another file: a list of tensors to write, none read yet.

The rule for GGUF. Vectors, routers and tables of positions stay F32: they are small, and the engines that
read GGUF expect it. Matrices get the format that was asked for, with two exceptions: embedding and head are
never below Q8_0, since their error reaches every logit; and a matrix whose rows are no whole blocks of the
format gets Q8_0 if they are multiples of 32, else F16. Without a format, everything keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from zeropoint import _native, formats
from zeropoint.blueprint.sources import TensorSource, stored_names
from zeropoint.errors import BadInput, choices
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.mapping import LazyTensor, lazy_tensors, to_stored
from zeropoint.weights.open_model import Opened
from zeropoint.weights.packing import PackedTensor, copy_tensor, has_whole_blocks, pack
from zeropoint.weights.stored_tensors import format_names

__all__ = ["FOLDER_FORMATS", "file_type", "folder_tensors", "gguf_tensors"]

FOLDER_FORMATS = ("F32", "F16", "BF16")  # what safetensors and transformers have in common

_STAY_F32 = (".router.weight", ".position.weight", ".segment.weight", "relative_bias.weight")
_REACH_EVERY_LOGIT = ("embedding.weight", "head.weight")


def gguf_tensors(opened: Opened, to: str | None, notify: Callable[[str], None]) -> list[PackedTensor]:
    """The tensors of a GGUF file in the format `to`; those of a GGUF that stay as they are, byte for byte.

    notify: told of matrices that cannot have the format. Raises BadInput for an unknown one.
    """
    writable = {name for name, _, _, _ in _native.formats()} & set(formats.names())
    if to is not None and to not in writable:
        raise BadInput(choices("format", to, writable))
    file = opened.file if isinstance(opened.file, GgufModel) else None
    sources = opened.sources if file else _tensor_map(opened, "gguf")
    if left := opened.weights.keys() - sources.keys():
        notify(f"{format_names(left)} have no place in the GGUF of the family {opened.blueprint.family}")
    ours_of = {name: ours for ours, source in sources.items() for name in stored_names(source)}
    stored = lazy_tensors(file) if file else to_stored(opened.weights.lazy, sources) | _extra(opened)
    made, others = [], 0
    for name, tensor in stored.items():
        form = tensor.format if file and to is None else _format(ours_of.get(name), tensor, to)
        others += to is not None and form not in (to, "F32") and ours_of.get(name) not in _REACH_EVERY_LOGIT
        made.append(copy_tensor(file, name) if file and form == tensor.format else pack(name, tensor, form))
    if others:
        block = formats.get(str(to)).BLOCK_WEIGHTS
        instead = "Q8_0 or F16" if block > formats.get("Q8_0").BLOCK_WEIGHTS else "F16"
        notify(f"{others} matrices have rows that are no multiple of {block}: they get {instead}, not {to}")
    return made


def folder_tensors(opened: Opened, to: str | None) -> list[PackedTensor]:
    """The tensors of a Hugging Face folder in the format `to`; without one, what is packed becomes F32."""
    if to is not None and to not in FOLDER_FORMATS:
        raise BadInput(f"a folder holds {', '.join(FOLDER_FORMATS)}, not {to}; choose one, or a .gguf target")
    stored = to_stored(opened.weights.lazy, _tensor_map(opened, "hf"))
    return [
        pack(name, tensor, to or (tensor.format if tensor.format in FOLDER_FORMATS else "F32"))
        for name, tensor in stored.items()
    ]


def file_type(tensors: list[PackedTensor]) -> int:
    """`general.file_type`: the number of the format that most weights of matrices are in."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        if len(tensor.shape) > 1:
            counts[tensor.format] = counts.get(tensor.format, 0) + tensor.n_bytes
    return formats.get(max(counts, key=counts.__getitem__)).FILE_TYPE if counts else 0


def _format(ours: str | None, tensor: LazyTensor, to: str | None) -> str:
    if ours is None or len(tensor.shape) < 2 or ours.endswith(_STAY_F32):
        return "F32"
    form = to or tensor.format
    if ours in _REACH_EVERY_LOGIT and _bits(form) < _bits("Q8_0"):
        form = "Q8_0"
    return next(choice for choice in (form, "Q8_0", "F16") if has_whole_blocks(tensor.shape, choice))


def _bits(form: str) -> float:
    block = formats.get(form)
    return block.BLOCK_BYTES * 8 / block.BLOCK_WEIGHTS


def _extra(opened: Opened) -> dict[str, LazyTensor]:
    """Small tensors that stand for metadata in a GGUF file."""
    made = {}
    for name, values in opened.family.gguf_tensors(opened.blueprint).items():
        array = np.array(values, np.float32)
        made[name] = LazyTensor(array.shape, "F32", array.copy)
    return made


def _tensor_map(opened: Opened, kind: str) -> dict[str, TensorSource]:
    return dict(_writable(opened.family, kind).tensor_map(opened.blueprint, kind))


def _writable(family: ModuleType, kind: str) -> ModuleType:
    if not hasattr(family, f"to_{kind}"):
        name = family.__name__.rpartition(".")[2]
        other = {"hf": "Hugging Face folder", "gguf": "GGUF file"}[kind]
        raise BadInput(f"the family {name} has no form as a {other} that is known here")
    return family
