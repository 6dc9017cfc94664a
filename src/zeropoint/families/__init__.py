"""Published model families, one module each, named after the family's GGUF architecture.

A family translates between published files and our `Blueprint`. Foreign names (`hidden_size`, `blk.0.attn_q`)
appear only in this package. Reading order: `llama` is a complete family; then the helpers it uses, `_hf`,
`_gguf` and `_names`; then families that differ more from it: `gpt2`, `gemma2`, `t5`.

Adding a family takes two files:
1. `families/NAME.py`: start from the most similar module. If the family needs a part that no other has (a
   new norm or position encoding), first add that part to `blueprint/parts` and `layers`.
2. `tests/unit/families/configs.py`: an entry in `SMALL`, a config.json with small sizes. The tests of round
   trips, tensor names and shapes against transformers and the `gguf` package then cover the family.
Nothing else lists families: loading, conversion and error messages find the module by its name.

Functions of a family module:
- `from_hf(config)`, `to_hf(blueprint)`: config.json, as a mapping, to and from a blueprint.
- `from_gguf(model)`, `to_gguf(blueprint)`: the same for GGUF metadata.
- `tensor_map(blueprint, kind)`: the source of each of our tensors (`blueprint.sources`) in a file of `kind`
  "hf" or "gguf".
- `gguf_tensors(blueprint)`: small GGUF tensors that represent metadata (rotary frequency factors).
- `gguf_variant(model)`, optional: the family of a file whose architecture several families share.
- `fit_to_tensors(blueprint, names)`, optional: the blueprint of a folder whose config declares parts that its
  files may lack.
- `gguf_copies(blueprint)`, optional: stored names to the tensor of ours that fills them; not read.
- `recognizes(config)`, optional: whether a config.json without `model_type` is one of the family.
The `to_` functions end with `check_round_trip`, so a blueprint that the format cannot express is an error.

Optional constants of a family module:
- `HF_MODEL_TYPE`: the `model_type` of config.json, if it is not the module's name.
- `GGUF_ARCHITECTURE`: `general.architecture`, if it is not the module's name.
- `PREFIX`: prefix that tensor names lack in a checkpoint saved without its head.
- `IGNORED`: regular expressions of stored tensors without weights (masks, frequencies).
- `DROPPED`: the same for weights that our model has no counterpart for; loading reports them.
- `MXFP4`: regular expression of tensors that a folder may store in MXFP4, as blocks and scales.
- `GGUF_DROPPED`: the same for GGUF files.
- `DUPLICATES`: regular expressions of stored tensors to the tensor of ours that they duplicate.
- `ALIASES`: suffixes of legacy tensor names to their current form.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Literal, Protocol

from zeropoint import registry
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import TensorSource
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadModelFile
from zeropoint.families._legacy import resolve_legacy
from zeropoint.families._multimodal import OTHER_PARTS, text_config, text_name
from zeropoint.families._unknown import unknown_gguf, unknown_hf

__all__ = [
    "FACTOR_TENSORS",
    "OTHER_PARTS",
    "GgufMetadata",
    "Kind",
    "duplicate_names",
    "for_blueprint",
    "for_gguf",
    "for_hf",
    "gguf_copies",
    "gguf_sources",
    "text_config",
    "text_name",
]

Kind = Literal["hf", "gguf"]

# Tensors that represent metadata: the divisor of each rotary frequency.
_READ_QUANTIZATIONS = ("fp8", "fbgemm_fp8", "compressed-tensors", "mxfp4")
FACTOR_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")


class GgufMetadata(Protocol):
    """The part of a GGUF file that a family reads, as `weights.gguf.model.GgufModel` implements it."""

    @property
    def name(self) -> str: ...

    @property
    def paths(self) -> tuple[Any, ...]: ...

    @property
    def metadata(self) -> Mapping[str, Any]: ...

    @property
    def tensors(self) -> Any: ...

    def array(self, name: str) -> Any: ...

    def get_int(self, key: str, minimum: int, maximum: int, *, default: int = ...) -> int: ...

    def get_float(
        self, key: str, minimum: float = ..., maximum: float = ..., *, default: float = ...
    ) -> float: ...

    def get_bool(self, key: str, *, default: bool = ...) -> bool: ...

    def get_str(self, key: str, *, default: str = ...) -> str: ...

    def get_list(self, key: str, item: type[Any], *, default: list[Any] = ...) -> list[Any]: ...


def for_blueprint(blueprint: Blueprint) -> ModuleType:
    """The family module of a blueprint. Raises BadInput for an unknown family."""
    return registry.load(__name__, blueprint.family, "family")


def for_gguf(model: GgufMetadata) -> ModuleType:
    """The family module for a file's `general.architecture`. Raises BadModelFile for unknown ones."""
    architecture = model.get_str("general.architecture")
    name = architecture.replace("-", "_")  # gpt-oss
    if name in registry.names(__name__):
        module = registry.load(__name__, name)  # only this one: every import costs time and memory
        if hasattr(module, "from_gguf") and _gguf_architecture(module) == architecture:
            variant = getattr(module, "gguf_variant", None)
            return module if variant is None else registry.load(__name__, variant(model))
    names = {_gguf_architecture(module) for module in _modules_with("from_gguf")}
    raise BadModelFile(unknown_gguf(model, architecture, names))


def gguf_sources(model: GgufMetadata, blueprint: Blueprint) -> dict[str, TensorSource]:
    """The source of each of our tensors in a GGUF file, including files of legacy layouts."""
    return resolve_legacy(for_gguf(model).tensor_map(blueprint, "gguf"), parameters(blueprint), model.tensors)


def for_hf(config: Mapping[str, Any], where: str = "config.json") -> ModuleType:
    """The family module for a config's `model_type`. Raises BadModelFile for unknown ones.

    `auto_map` names Python files that come with a checkpoint; they are never run.
    """
    families = {_hf_model_type(module): module for module in _modules_with("from_hf")}
    model_type = config.get("model_type")
    if model_type is None:
        for module in _modules_with("recognizes"):
            if module.recognizes(config):
                return module
    if not isinstance(model_type, str) or model_type not in families:
        raise BadModelFile(unknown_hf(config, where, families))
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    if quantization is not None and method not in _READ_QUANTIZATIONS:
        raise BadModelFile(
            f"{where}: `quantization_config` has the method {method!a:.40}; only FP8 and MXFP4 are read, so "
            "use the unquantized checkpoint"
        )
    return families[model_type]


def gguf_copies(blueprint: Blueprint) -> dict[str, str]:
    """Tensors of a GGUF file that no program uses but llama.cpp requires, and ours that fills each."""
    copies = getattr(for_blueprint(blueprint), "gguf_copies", None)
    return {} if copies is None else dict(copies(blueprint))


def _modules_with(function: str) -> list[ModuleType]:
    modules = [registry.load(__name__, name) for name in registry.names(__name__)]
    return [module for module in modules if hasattr(module, function)]


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _hf_model_type(module: ModuleType) -> str:
    return str(getattr(module, "HF_MODEL_TYPE", _name(module)))


def _gguf_architecture(module: ModuleType) -> str:
    return str(getattr(module, "GGUF_ARCHITECTURE", _name(module)))


def duplicate_names(kind: Kind, blueprint: Blueprint) -> dict[str, str]:
    """Tensors that a file may hold twice: regular expressions of stored names to the tensor of ours they
    equal.

    A tied head duplicates the embedding; a family lists its other duplicates in `DUPLICATES`.
    """
    if kind == "gguf":
        return {r"output\.weight": "embedding.weight"} if blueprint.is_tied else {}
    head = {r"lm_head\.weight": "embedding.weight"} if blueprint.is_tied else {}
    return head | getattr(for_blueprint(blueprint), "DUPLICATES", {})
