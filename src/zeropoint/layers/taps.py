"""How a forward pass shows its intermediates: each is handed, by name, to a function that was passed in.

Nothing is hooked and nothing is global: a layer that is given no `see` shows nothing and costs nothing. What
the function returns, if anything, takes the intermediate's place (`models/interventions.py` changes a pass
so).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["See", "show", "under"]

See = Callable[[str, Tensor], Tensor | None]


def show(see: See | None, name: str, tensor: Tensor) -> Tensor:
    """Hand `tensor` to whoever looks, and give back what is to be used in its place."""
    changed = None if see is None else see(name, tensor)
    return tensor if changed is None else changed


def under(see: See | None, part: str) -> See | None:
    """The same looker, with `part.` before every name that it is handed."""
    if see is None:
        return None
    return lambda name, tensor: see(f"{part}.{name}", tensor)
