"""The message for a model without a family here: which model it is, and what runs instead."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeropoint.families import GgufMetadata

__all__ = ["unknown_gguf", "unknown_hf"]

_MAX_SHOWN = 80  # characters of a name that comes from a file


def unknown_gguf(model: GgufMetadata, architecture: str, known: Iterable[str]) -> str:
    """The message for an unknown `general.architecture`, with the model's own name and size."""
    size = model.get_str("general.size_label", default="")
    n_weights = sum(math.prod(tensor.shape) for tensor in model.tensors.values())
    sized = f" with {size[:_MAX_SHOWN] or _count(n_weights)} weights" if size or n_weights else ""
    name = model.get_str("general.name", default="")[:_MAX_SHOWN]
    shown = f"{name} is a model" if name else "this is a model"
    return (
        f"{model.name}: {shown}{sized} of the architecture `{architecture[:_MAX_SHOWN]}`, {_instead(known)}"
    )


def unknown_hf(config: Mapping[str, Any], where: str, known: Iterable[str]) -> str:
    """The message for an unknown or missing `model_type`, with the name of the class or the model."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        return f"{where}: `model_type` is missing; it must be one of {', '.join(sorted(known))}"
    classes = config.get("architectures")
    name = config.get("_name_or_path") or (classes[0] if isinstance(classes, list) and classes else "")
    shown = f"{name[:_MAX_SHOWN]} is a model" if isinstance(name, str) and name else "this is a model"
    return f"{where}: {shown} of the type `{model_type[:_MAX_SHOWN]}`, {_instead(known)}"


def _instead(known: Iterable[str]) -> str:
    names = ", ".join(sorted(set(known) - {"zeropoint"}))  # our own, which only our exports have
    return f"which zeropoint cannot run yet; it runs {names}; `zeropoint list` shows models to start with"


def _count(n: int) -> str:
    return f"{n / 1e9:.1f} billion" if n >= 1e9 else f"{n / 1e6:.0f} million" if n >= 1e6 else f"{n:,}"
