"""zeropoint: understand, run and adapt large language models on a CPU.

Public names are imported on first use, so that `import zeropoint` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeropoint.blueprint.interventions import AddVector, Scale
    from zeropoint.decoding.guidance.guide import Guide
    from zeropoint.engine.contract import Tap
    from zeropoint.engine.session.load import load
    from zeropoint.engine.session.model import Model
    from zeropoint.engine_options import EngineOptions
    from zeropoint.errors import ZeropointError
    from zeropoint.sampling.params import SamplingParams

__all__ = [
    "AddVector",
    "EngineOptions",
    "Guide",
    "Model",
    "SamplingParams",
    "Scale",
    "Tap",
    "ZeropointError",
    "__version__",
    "load",
]

__version__ = "0.1.0"

_MODULES = {
    "AddVector": "zeropoint.blueprint.interventions",
    "EngineOptions": "zeropoint.engine_options",
    "Guide": "zeropoint.decoding.guidance.guide",
    "Scale": "zeropoint.blueprint.interventions",
    "Tap": "zeropoint.engine.contract",
    "Model": "zeropoint.engine.session.model",
    "load": "zeropoint.engine.session.load",
    "SamplingParams": "zeropoint.sampling.params",
    "ZeropointError": "zeropoint.errors",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'zeropoint' has no attribute '{name}'")


def __dir__() -> list[str]:
    """What Tab completes in a notebook: the public names, imported or not."""
    return sorted(__all__)
