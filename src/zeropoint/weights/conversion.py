"""Choose the number format of each tensor in a conversion: a list of tensors to write, not read yet.

In a GGUF file, vectors, biases, routers and position tables stay F32: they are small, and engines that read
GGUF expect it. Matrices get the requested format, with two exceptions: embedding and head never go below
Q8_0, because their error reaches every logit; and a matrix whose rows do not fill the format's blocks gets
Q8_0 if they are multiples of 32, else F16. Without a requested format, every tensor keeps its own; F64
becomes F32 and FP8 becomes BF16.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType

import numpy as np

from zeropoint import families, formats
from zeropoint.blueprint.sources import TensorSource, stored_names
from zeropoint.errors import BadInput
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.mapping import LazyTensor, lazy_tensors, to_stored
from zeropoint.weights.mxfp4_tensors import pack_pair
from zeropoint.weights.open_model import OpenedModel
from zeropoint.weights.packing import PackedTensor, copy_tensor, has_whole_blocks, pack
from zeropoint.weights.read_only_formats import READ_ONLY, written_format
from zeropoint.weights.stored_tensors import format_names

__all__ = ["FOLDER_FORMATS", "file_type", "folder_tensors", "gguf_tensors"]

FOLDER_FORMATS = ("F32", "F16", "BF16")  # supported by both safetensors and transformers

_FILE_TYPES = ("GGUF", "HF", "SAFETENSORS")  # typed after --to by people who mean the target
_STAY_F32 = (
    *(".bias", ".router.weight", ".position.weight", ".segment.weight", "relative_bias.weight"),
    *("recurrence.convolution.weight", "recurrence.norm.weight", ".decay_log", ".skip", ".shift"),
    *("recurrence.decay.down.weight", "recurrence.decay.up.weight"),
    *("recurrence.rate.down.weight", "recurrence.rate.up.weight"),
    *("recurrence.first_value.down.weight", "recurrence.first_value.up.weight"),
    *("recurrence.gate.down.weight", "recurrence.gate.up.weight"),
)
_REACH_EVERY_LOGIT = ("embedding.weight", "head.weight")


def check_format(to: str | None, is_gguf: bool) -> None:
    """Raise BadInput if neither a GGUF file nor, if not is_gguf, a folder can store matrices as `to`."""
    if to in _FILE_TYPES:
        raise BadInput(
            f"{to} is a type of file, not a format of weights; the target's name chooses it: NAME.gguf is a "
            "GGUF file, any other name a Hugging Face folder"
        )
    if to is not None:
        formats.check_writable(to)
    if to is not None and not is_gguf and to not in FOLDER_FORMATS:
        raise BadInput(
            f"a folder can store {', '.join(FOLDER_FORMATS)}, not {to}; choose one of them, or a .gguf target"
        )


def gguf_tensors(opened: OpenedModel, to: str | None, notify: Callable[[str], None]) -> list[PackedTensor]:
    """The tensors of a GGUF file, with matrices in the format `to`; unchanged ones are copied byte for byte.

    notify: called for matrices that cannot have the format. Raises BadInput for an unknown format.
    """
    file = opened.file if isinstance(opened.file, GgufModel) else None
    sources = opened.sources if file else _tensor_map(opened, "gguf")
    if left := opened.weights.keys() - sources.keys():
        family = opened.blueprint.family
        notify(f"left out, because a GGUF file of {family} cannot store them: {format_names(left)}")
    ours_of = {name: ours for ours, source in sources.items() for name in stored_names(source)}
    stored = lazy_tensors(file) if file else to_stored(opened.weights.lazy, sources) | _extra(opened)
    packed, n_fallback = [], 0
    for name, tensor in stored.items():
        form = tensor.format if file and to is None else _format(ours_of.get(name), tensor, to)
        n_fallback += (
            to is not None and form not in (to, "F32") and ours_of.get(name) not in _REACH_EVERY_LOGIT
        )
        packed.append(copy_tensor(file, name) if file and form == tensor.format else pack(name, tensor, form))
    if n_fallback:
        block = formats.get(str(to)).BLOCK_WEIGHTS
        fallback = "Q8_0 or F16" if block > formats.get("Q8_0").BLOCK_WEIGHTS else "F16"
        notify(f"{n_fallback} matrices become {fallback}: their rows are not a multiple of {block}")
    return packed


def folder_tensors(opened: OpenedModel, to: str | None) -> list[PackedTensor]:
    """The tensors of a Hugging Face folder in the format `to`; by default, quantized tensors become F32.

    FP8 becomes BF16; the experts of a family whose folders store them in MXFP4 keep it.
    """
    stored = to_stored(opened.weights.lazy, _tensor_map(opened, "hf"))
    form_of = {form: form for form in FOLDER_FORMATS} | READ_ONLY
    pattern = re.compile(getattr(opened.family, "MXFP4", "(?!)"))
    packed: list[PackedTensor] = []
    for name, tensor in stored.items():
        if to is None and tensor.format == "MXFP4" and pattern.fullmatch(name):
            packed += pack_pair(name, tensor)
        else:
            packed.append(pack(name, tensor, to or form_of.get(tensor.format, "F32")))
    return packed


def file_type(tensors: list[PackedTensor]) -> int:
    """`general.file_type`: the number of the format with most bytes of matrices."""
    counts: dict[str, int] = {}
    for tensor in tensors:
        if len(tensor.shape) > 1:
            counts[tensor.format] = counts.get(tensor.format, 0) + tensor.n_bytes
    return formats.get(max(counts, key=counts.__getitem__)).FILE_TYPE if counts else 0


def _format(ours: str | None, tensor: LazyTensor, to: str | None) -> str:
    if ours is None or len(tensor.shape) < 2 or ours.endswith(_STAY_F32):
        return "F32"
    form = to or written_format(tensor.format)
    if ours in _REACH_EVERY_LOGIT and _bits(form) < _bits("Q8_0"):
        form = "Q8_0"
    return next(choice for choice in (form, "Q8_0", "F16") if has_whole_blocks(tensor.shape, choice))


def _bits(form: str) -> float:
    block = formats.get(form)
    return block.BLOCK_BYTES * 8 / block.BLOCK_WEIGHTS


def _extra(opened: OpenedModel) -> dict[str, LazyTensor]:
    """Small tensors that represent metadata in a GGUF file, such as RoPE factors, and copies of others."""
    tensors = {}
    for name, values in opened.family.gguf_tensors(opened.blueprint).items():
        array = np.array(values, np.float32)
        tensors[name] = LazyTensor(array.shape, "F32", array.copy)
    copies = families.gguf_copies(opened.blueprint).items()
    return tensors | {name: opened.weights.lazy[ours] for name, ours in copies}


def _tensor_map(opened: OpenedModel, kind: str) -> dict[str, TensorSource]:
    return dict(_writable(opened.family, kind).tensor_map(opened.blueprint, kind))


def _writable(family: ModuleType, kind: str) -> ModuleType:
    if not hasattr(family, f"to_{kind}"):
        name = family.__name__.rpartition(".")[2]
        other = {"hf": "Hugging Face folder", "gguf": "GGUF file"}[kind]
        raise BadInput(f"the family {name} has no known format as a {other}")
    return family
