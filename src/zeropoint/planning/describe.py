"""Describe a model without running it: what it is, and whether zeropoint can run it.

`zeropoint models show` and `zeropoint plan` both read this, so that they agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from zeropoint import families, formats
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.catalogue.catalog import CatalogEntry, ModelSizes
from zeropoint.catalogue.lookup import ModelInfo, lookup
from zeropoint.engine.native.model_spec import native_spec
from zeropoint.engine.native.runnable import check_gguf, refuse_folder
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.sampling.recommended import from_gguf
from zeropoint.settings import Settings
from zeropoint.tokenizers.formats.gguf import check_tokenizer
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf, parse_header
from zeropoint.weights.open_model import locate

__all__ = ["Description", "ModelSize", "check_header", "describe"]

_MIN_SHARE = 0.02  # formats with a smaller share of the bytes do not affect the speed and are not measured


@frozen
class ModelSize:
    """A model's blueprint, the bytes of all its weights, and the bytes in each main number format."""

    blueprint: Blueprint
    weight_bytes: int
    format_bytes: dict[str, int]


@frozen
class Description:
    """A model. `info` has its name, source, path, size, licence and format; the rest may be unknown (None).

    title: the name that the publisher gave it. sampling: parameters that the publisher recommends. problem:
    why zeropoint cannot run it, as a sentence; None if it can. size: None if there is a problem.
    """

    info: ModelInfo
    size: ModelSize | None = None
    architecture: str | None = None
    title: str | None = None
    n_ctx: int | None = None
    n_tensors: int | None = None
    sampling: Mapping[str, float] = dataclasses.field(default_factory=dict)
    problem: str | None = None


def describe(name: str, *, settings: Settings | None = None) -> Description:
    """Describe a model by name; of a model that is not on this disk, read at most the first 32 MiB.

    Raises BadInput, BadModelFile, NetworkError, DiskError for a model that cannot be found or read.
    """
    info = lookup(name, settings=settings)
    if info.path is not None:
        return _of_folder(info, info.path) if info.path.is_dir() else _of_gguf(info, open_gguf(info.path))
    if info.entry is not None and info.entry.blueprint is not None:
        return _of_entry(info, info.entry, info.entry.blueprint)
    file = info.header(lambda head, n_bytes: parse_header(head, n_bytes, info.name))
    if file is None:
        raise BadInput(f"{info.name} cannot be described before it is fetched; fetch it first")
    return _of_gguf(info, file)


def check_header(info: ModelInfo) -> None:
    """Raise BadModelFile if the header of a file that is not on this disk shows that it cannot run.

    The first part of a model in parts lists only some of the tensors, so it decides by its architecture.
    """
    file = info.header(lambda head, n_bytes: parse_header(head, n_bytes, info.name))
    if file is None:
        return
    if info.first_bytes < info.file_bytes:
        families.for_gguf(file)
    elif (problem := _of_gguf(info, file).problem) is not None:
        raise BadModelFile(problem)


def _of_entry(info: ModelInfo, entry: CatalogEntry, sizes: ModelSizes) -> Description:
    form = entry.format
    format_bytes = {form: sizes.weight_bytes} if form in formats.names() else {}
    blueprint = _blueprint_of_sizes(sizes)
    size = ModelSize(blueprint, sizes.weight_bytes, format_bytes)
    return Description(info, size, n_ctx=sizes.n_ctx, sampling=entry.sampling)


def _of_gguf(info: ModelInfo, file: GgufModel) -> Description:
    architecture = _text(file, "general.architecture")
    format_bytes = _format_bytes(file)
    # Of a model in parts only the first header may have been read, but the sizes of all files are known.
    file_bytes = max(info.file_bytes, file.file_bytes)
    info = dataclasses.replace(
        info,
        file_bytes=file_bytes,
        licence=info.licence or _text(file, "general.license"),
        format=info.format or max(format_bytes, key=lambda form: format_bytes[form], default=None),
    )
    catalogued = info.entry.sampling if info.entry is not None else {}
    description = Description(
        info,
        architecture=architecture,
        title=_text(file, "general.name"),
        n_tensors=len(file.tensors),
        sampling={**catalogued, **from_gguf(file.metadata, file.name, lambda text: None)},
    )
    n_ctx = file.metadata.get(f"{architecture}.context_length")
    if isinstance(n_ctx, int):
        description = dataclasses.replace(description, n_ctx=n_ctx)
    try:
        blueprint = check_gguf(file)
        check_tokenizer(file)
    except BadInput as error:
        return dataclasses.replace(description, problem=str(error))
    total = sum(format_bytes.values())
    main = {form: n for form, n in format_bytes.items() if n >= _MIN_SHARE * total}
    weight_bytes = max(total, file_bytes - info.first_bytes + total)
    return dataclasses.replace(description, size=ModelSize(blueprint, weight_bytes, main))


def _of_folder(info: ModelInfo, path: Path) -> Description:
    """A training run, which runs as a GGUF file in F32; or a Hugging Face folder."""
    from zeropoint.weights import run_checkpoint

    location = locate(path)
    if location.kind != "run":
        return _of_hf_folder(info, path)
    checkpoint = run_checkpoint.open_checkpoint(location.path)
    blueprint = checkpoint.blueprint
    file_bytes = sum(tensor.n_bytes for tensor in checkpoint.stored.tensors.values())
    info = dataclasses.replace(
        info, file_bytes=file_bytes, format="F32", source="a training run on this disk"
    )
    description = Description(
        info,
        architecture=blueprint.family,
        title=checkpoint.title,
        n_ctx=blueprint.n_ctx,
        n_tensors=len(checkpoint.stored.tensors),
    )
    try:
        native_spec(blueprint, blueprint.n_ctx)
    except BadInput as error:
        return dataclasses.replace(description, problem=f"{display_path(path)}: {error}")
    weight_bytes = 4 * count_parameters(blueprint)
    return dataclasses.replace(description, size=ModelSize(blueprint, weight_bytes, {"F32": weight_bytes}))


def _of_hf_folder(info: ModelInfo, path: Path) -> Description:
    from zeropoint.weights.hf_folder import read_config

    config = read_config(path)
    dtype = config.get("torch_dtype") or config.get("dtype")
    info = dataclasses.replace(
        info,
        file_bytes=sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        format=dtype if isinstance(dtype, str) else None,
    )
    try:
        refuse_folder(path)
    except BadInput as error:
        problem = str(error)
    model_type = config.get("model_type")
    architecture = model_type if isinstance(model_type, str) else None
    return Description(info, architecture=architecture, problem=problem)


def _format_bytes(file: GgufModel) -> dict[str, int]:
    format_bytes: dict[str, int] = {}
    for tensor in file.tensors.values():
        format_bytes[tensor.format] = format_bytes.get(tensor.format, 0) + tensor.n_bytes
    return format_bytes


def _text(file: GgufModel, key: str) -> str | None:
    value = file.metadata.get(key)
    return value if isinstance(value, str) else None


def _blueprint_of_sizes(sizes: ModelSizes) -> Blueprint:
    """A blueprint of these sizes; what does not affect cost (RoPE base, epsilon) has a common value."""
    attention = Attention(
        sizes.n_heads, sizes.n_kv_heads, sizes.d_head, Rope(base=10000.0, n_rotated=sizes.d_head)
    )
    norm = RMSNorm(1e-5)
    windowed = dataclasses.replace(attention, window=sizes.sliding_window or None)
    ffn, period = Gated(sizes.d_ff), sizes.global_every or 1
    blocks = [Block(windowed if (i + 1) % period else attention, ffn, norm) for i in range(sizes.n_layers)]
    return Blueprint(
        family="llama",
        d_model=sizes.d_model,
        n_vocab=sizes.n_vocab,
        n_ctx=sizes.n_ctx,
        blocks=tuple(blocks),
        final_norm=norm,
    )
