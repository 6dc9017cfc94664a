"""Published model families: one file each, named as the file format names the family.

A family turns metadata into a `Blueprint` and maps our tensor names to the file's. Foreign names live here
and nowhere else.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

from zeropoint import registry
from zeropoint.errors import BadModelFile, choices

__all__ = ["GgufMetadata", "of_gguf"]


class GgufMetadata(Protocol):
    """What a family reads of a GGUF file; `weights.gguf.GgufModel` is one. Getters raise BadModelFile."""

    @property
    def name(self) -> str: ...

    @property
    def tensors(self) -> Any: ...

    def get_int(self, key: str, minimum: int, maximum: int, *, default: int = ...) -> int: ...

    def get_float(
        self, key: str, minimum: float = ..., maximum: float = ..., *, default: float = ...
    ) -> float: ...

    def get_str(self, key: str, *, default: str = ...) -> str: ...


def of_gguf(model: GgufMetadata) -> ModuleType:
    """The family module that a file's `general.architecture` names. Raises BadModelFile for others."""
    architecture = model.get_str("general.architecture")
    known = registry.names(__name__)
    if architecture not in known:
        raise BadModelFile(f"{model.name}: {choices('general.architecture', architecture, known)}")
    return registry.load(__name__, architecture)
