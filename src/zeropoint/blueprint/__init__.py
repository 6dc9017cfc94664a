"""The architecture of a model as data, from which torch modules, native plans and costs derive.

Read `spec.py` (a blueprint and its blocks), then `parts/` (attention, FFN, norm, position). `tensors.py`
names every parameter, `check.py` validates, `io.py` reads and writes TOML, `catalog/` has published models.
"""

from zeropoint.blueprint.spec import Block, Blueprint, Embedding, Head

__all__ = ["Block", "Blueprint", "Embedding", "Head"]
