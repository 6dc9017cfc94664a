"""What belongs to one process: a loaded model and its answers."""

from __future__ import annotations

from typing import NoReturn

from zeropoint.errors import BadInput

__all__ = ["ProcessBound"]


class ProcessBound:
    """Base class of objects that cannot be pickled or copied; the error says what to do instead."""

    def __reduce__(self) -> NoReturn:
        raise BadInput(
            f"a {type(self).__name__} cannot be pickled or copied, because its weights are loaded in this "
            "process; call zeropoint.load in the other process instead"
        )
