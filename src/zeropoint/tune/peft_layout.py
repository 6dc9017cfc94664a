"""Save and load adapters as peft does: a folder with `adapter_config.json` and `adapter_model.safetensors`.

Tensors are named after the model's modules in Hugging Face's layout, as in
`base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. Adapters that peft lacks are stored in the
same two files under our names, with `zeropoint` as their type; peft refuses those by that name.

A model from a GGUF file may hold the rows of queries and keys in another order (rotary pairs are neighbours);
what an adapter stores per row is then reordered, so that one file suits both.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zeropoint import families
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import Permuted, Rename
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput, BadModelFile, choices
from zeropoint.files.atomic_write import atomic_folder, write_file
from zeropoint.files.paths import display_path
from zeropoint.files.regular_file import read_regular
from zeropoint.models.decoder import Decoder
from zeropoint.tune.adapters import Adapter
from zeropoint.tune.adapters.bottleneck import Bottleneck
from zeropoint.tune.adapters.dora import Dora
from zeropoint.tune.adapters.freeze import Freeze
from zeropoint.tune.adapters.ia3 import Ia3
from zeropoint.tune.adapters.lora import Lora
from zeropoint.tune.adapters.p_tuning import PTuning
from zeropoint.tune.adapters.prefix import PrefixTuning
from zeropoint.tune.adapters.prompt import PromptTuning
from zeropoint.weights.mapping import LazyTensor, lazy_tensors
from zeropoint.weights.packing import pack
from zeropoint.weights.safetensors.reader import open_safetensors
from zeropoint.weights.safetensors.writer import write_safetensors

__all__ = ["CONFIG", "TENSORS", "huggingface_names", "load_adapter", "save_adapter"]

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MAX_CONFIG_BYTES = 1 << 20
_OURS: dict[str, type[Adapter]] = {"BOTTLENECK": Bottleneck, "FREEZE": Freeze}
_THEIRS: dict[str, type[Adapter]] = {
    "LORA": Lora,
    "IA3": Ia3,
    "PREFIX_TUNING": PrefixTuning,
    "PROMPT_TUNING": PromptTuning,
    "P_TUNING": PromptTuning,  # what is stored of it is a prompt
}


def huggingface_names(blueprint: Blueprint) -> dict[str, str]:
    """Our modules with a matrix that Hugging Face's model has too, and its names for them."""
    sources = families.for_blueprint(blueprint).tensor_map(blueprint, "hf")
    plain = {ours: s.source if isinstance(s, Permuted) else s for ours, s in sources.items()}
    return {
        ours.removesuffix(".weight"): source.name.removesuffix(".weight")
        for ours, source in plain.items()
        if isinstance(source, Rename) and ours.endswith(".weight")
    }


def save_adapter(model: Decoder, adapter: Adapter, folder: Path, base: str = "") -> None:
    """Write the trained weights and the configuration.

    base: the name of the model that they adapt. Raises BadInput for a module that Hugging Face's model does
    not have, such as one part of a fused matrix; DiskError.
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    if not adapter.peft_type:
        tensors, modules = trained, set[str]()
        kind = next(name for name, cls in _OURS.items() if isinstance(adapter, cls))
        config: dict[str, Any] = {"peft_type": f"zeropoint.{kind}"}
    else:
        tensors, modules = _their_tensors(model, adapter, trained)
        config = {"peft_type": adapter.peft_type, "task_type": "CAUSAL_LM", "inference_mode": True}
    config |= {"base_model_name_or_path": base, **adapter.peft_config(model, _short(modules, model))}
    packed = [pack(name, _lazy(tensor), "F32") for name, tensor in tensors.items()]
    with atomic_folder(folder, need_bytes=sum(tensor.n_bytes for tensor in packed)) as temporary:
        with write_file(temporary / CONFIG) as file:
            file.write(json.dumps(config, indent=2, sort_keys=True).encode())
        write_safetensors(temporary / TENSORS, packed)


def load_adapter(model: Decoder, folder: Path) -> Adapter:
    """Attach the stored adapter to a model and return it. Raises BadInput, BadModelFile.

    The weights are trainable afterwards, as after `Adapter.attach`.
    """
    config = _read_config(folder)
    stored = {name: lazy.read() for name, lazy in lazy_tensors(open_safetensors(folder / TENSORS)).items()}
    tensors = {name: torch.from_numpy(array.copy()) for name, array in stored.items()}
    kind = str(config.get("peft_type"))
    if kind.removeprefix("zeropoint.") in _OURS:
        adapter: Adapter = _OURS[kind.removeprefix("zeropoint.")].from_peft(config, ())
        adapter.attach(model)
        _copy(model, tensors, folder)
        return adapter
    if kind not in _THEIRS:
        raise BadInput(f"{display_path(folder)}: {choices('kind of adapter', kind[:40], list(_THEIRS))}")
    cls = Dora if kind == "LORA" and config.get("use_dora") else _THEIRS[kind]
    names = {theirs: ours for ours, theirs in huggingface_names(model.blueprint).items()}
    ours = _our_tensors(cls, tensors, names, folder)
    for name, tensor in ours.items():
        module, _, parameter = name.rpartition(".")
        ours[name] = _reordered(model, module, parameter, tensor, to_theirs=False)
    modules = sorted({name.rpartition(".")[0] for name in ours})
    try:
        adapter = cls.from_peft(config, modules)
    except (KeyError, TypeError, ValueError) as error:
        raise BadModelFile(f"{display_path(folder / CONFIG)}: invalid or missing {error}") from None
    adapter.attach(model)
    _copy(model, ours, folder)
    return adapter


def _their_tensors(
    model: Decoder, adapter: Adapter, trained: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], set[str]]:
    """The trained weights under peft's names, and the modules that they adapt."""
    if isinstance(adapter, PTuning | PromptTuning):
        with torch.no_grad():
            return {"prompt_embeddings": model.embedding.prompt().detach()}, set()  # type: ignore[operator]
    if isinstance(adapter, PrefixTuning):
        (prefix,) = trained.values()
        return {"prompt_embeddings": _reordered_prefix(model, prefix, to_theirs=True)}, set()
    names, tensors, modules = huggingface_names(model.blueprint), {}, set()
    for name, tensor in trained.items():
        module, _, parameter = name.rpartition(".")
        if module not in names:
            raise BadInput(
                f"{module} is not a matrix of its own in Hugging Face's {model.blueprint.family} models, so "
                "peft has no name for its adapter; choose other targets"
            )
        tensors[f"{_PREFIX}{names[module]}.{adapter.peft_names[parameter]}"] = _reordered(
            model, module, parameter, tensor, to_theirs=True
        )
        modules.add(names[module])
    return tensors, modules


def _our_tensors(
    cls: type[Adapter], tensors: Mapping[str, Tensor], names: Mapping[str, str], folder: Path
) -> dict[str, Tensor]:
    """peft's tensors under our names. Raises BadModelFile for one that belongs to no module of the model."""
    if "prompt_embeddings" in tensors:
        where = "prefix" if cls is PrefixTuning else "embedding.prompt"
        return {f"{where}.weight": tensors["prompt_embeddings"]}
    ours = {}
    for name, tensor in tensors.items():
        for parameter, suffix in cls.peft_names.items():
            module = name.removeprefix(_PREFIX).removesuffix(f".{suffix}")
            if name.endswith(f".{suffix}") and module in names:
                ours[f"{names[module]}.{parameter}"] = tensor
                break
        else:
            raise BadModelFile(
                f"{display_path(folder / TENSORS)}: {name[:120]!r} belongs to no layer of this model; the "
                "adapter is of another model or kind"
            )
    return ours


def _reordered(model: Decoder, module: str, parameter: str, tensor: Tensor, *, to_theirs: bool) -> Tensor:
    """An adapter's tensor with its rows in the other order of rotary pairs, if the module's rows have one."""
    if module == "prefix":
        return _reordered_prefix(model, tensor, to_theirs=to_theirs)
    order_R = _row_order(model.blueprint, f"{module}.weight")
    has_rows = parameter in ("lora_b", "magnitude") or (parameter == "ia3" and tensor.shape[1] == 1)
    if order_R is None or not has_rows or len(order_R) != len(tensor):
        return tensor
    return tensor[order_R.argsort() if to_theirs else order_R]


def _reordered_prefix(model: Decoder, prefix: Tensor, *, to_theirs: bool) -> Tensor:
    """A prefix [P, L * 2 * N * K] with the columns of its keys in the other order."""
    attention = model.blueprint.attention
    order_R = _row_order(model.blueprint, "blocks.0.attention.key.weight")
    shape = (len(prefix), len(model.blocks), 2, attention.d_kv)
    if order_R is None or prefix.numel() != math.prod(shape):
        return prefix
    parts = prefix.reshape(shape).clone()
    parts[:, :, 0] = parts[:, :, 0][..., order_R.argsort() if to_theirs else order_R]
    return parts.flatten(1)


def _row_order(blueprint: Blueprint, weight: str) -> Tensor | None:
    """For each row of our matrix that row of Hugging Face's; None where they are the same."""
    source = families.for_blueprint(blueprint).tensor_map(blueprint, "hf").get(weight)
    if not isinstance(source, Permuted):
        return None
    n_rows = parameters(blueprint)[weight][0]
    halves = (source.n_heads, 2, -1) if source.is_interleaved else (source.n_heads, -1, 2)
    return torch.arange(n_rows).view(halves).transpose(1, 2).flatten()


@torch.no_grad()
def _copy(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Fill the trained parameters. Raises BadModelFile unless names and shapes agree."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    where = display_path(folder / TENSORS)
    if different := sorted(trained.keys() ^ tensors.keys()):
        raise BadModelFile(f"{where} does not fit the model: {different[0]} is only in one of them")
    for name, parameter in trained.items():
        if parameter.shape != tensors[name].shape:
            raise BadModelFile(
                f"{where}: {name} is {tuple(tensors[name].shape)}; the model has {tuple(parameter.shape)}; "
                "the adapter is of another model or rank"
            )
        parameter.copy_(tensors[name])


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        config = json.loads(read_regular(path, _MAX_CONFIG_BYTES))
    except FileNotFoundError:
        raise BadInput(f"{display_path(folder)} has no {CONFIG}; give the folder of an adapter") from None
    except (OSError, ValueError) as error:
        raise BadModelFile(f"{display_path(path)} cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise BadModelFile(f"{display_path(path)} is not a JSON object")
    return config


def _short(modules: set[str], model: Decoder) -> set[str]:
    """Last parts of the names ("q_proj") where they select exactly these modules, else the whole names."""
    last = {name.rpartition(".")[2] for name in modules}
    selected = {n for n in huggingface_names(model.blueprint).values() if n.rpartition(".")[2] in last}
    return last if selected == modules else modules


def _lazy(tensor: Tensor) -> LazyTensor:
    array = tensor.float().cpu().contiguous().numpy()
    return LazyTensor(tuple(array.shape), "F32", lambda: array)
