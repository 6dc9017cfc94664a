"""torch.compile for runs that are long enough: forward and backward pass become a few fused kernels.

A compiled step takes about half the time, but compilation takes about half a minute. `train.compile = "auto"`
therefore compiles long runs only. It estimates the length from the configuration, not from a clock, so that a
resumed run computes exactly as before. Evaluation and sampling run eagerly: they are short, and each of their
shapes would have to be compiled.
"""

from __future__ import annotations

import math
import os
import shutil
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from zeropoint.errors import MachineError
from zeropoint.models.decoder import Decoder
from zeropoint.train.config.config import RunConfig
from zeropoint.train.loop.loop import CountsTargets, LossFunction

__all__ = ["CompiledObjective", "compile_objective", "is_worth_compiling"]

# Operations of a run from which compilation pays for itself: about four minutes of training on two cores of
# an AMD EPYC (Zen 4), or one minute at the 50 TFLOP/s that a model of ten million weights reaches on an
# NVIDIA H200.
_MIN_OPERATIONS = {"cpu": 2e13, "cuda": 3e15}


class CompiledObjective:
    """An objective compiled for the shapes of its first batch.

    is_required: a failure to compile is an error; otherwise the objective runs eagerly.
    """

    def __init__(
        self, objective: LossFunction, backend: str = "inductor", *, is_required: bool = True
    ) -> None:
        self.objective, self.is_required, self._is_first = objective, is_required, True
        self._compute = torch.compile(_as_function(objective), backend=backend, dynamic=False, fullgraph=True)

    def __call__(self, model: nn.Module, *batch: Any) -> Tensor:
        """The loss. Raises MachineError if compilation is required and fails."""
        try:
            loss: Tensor = self._first(model, *batch) if self._is_first else self._compute(model, *batch)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            if self.is_required:
                reason = " ".join(str(error).split("\n")[:2]).strip()[:200]
                raise MachineError(
                    f'torch.compile failed ({reason}); fix the cause, or set train.compile="never"'
                ) from None
            self._compute = self.objective
            loss = self.objective(model, *batch)
        return loss

    def _first(self, model: nn.Module, *batch: Any) -> Tensor:
        """The first call, without the compiler's warnings (it recommends TF32, which is less exact)."""
        self._is_first = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss: Tensor = self._compute(model, *batch)
        return loss

    def n_targets(self, *batch: Any) -> int:
        """The number of targets that the loss is a mean over."""
        return (
            self.objective.n_targets(*batch) if isinstance(self.objective, CountsTargets) else len(batch[0])
        )


def _as_function(objective: LossFunction) -> LossFunction:
    """The objective as a plain function, which torch.compile requires."""
    return lambda model, *batch: objective(model, *batch)


def compile_objective(
    config: RunConfig, model: nn.Module, device: torch.device, n_workers: int = 1
) -> LossFunction:
    """The objective, compiled according to `train.compile`. Raises MachineError if "always" is impossible."""
    mode = config.train.compile
    if mode == "never" or (mode == "auto" and not is_worth_compiling(config, model, device, n_workers)):
        return config.objective
    if _has_compiler():
        return CompiledObjective(config.objective, is_required=mode == "always")
    if mode == "auto":
        return config.objective
    raise MachineError(
        'train.compile is "always" but there is no C++ compiler; install g++, set CXX to a compiler, or set '
        'train.compile="never"'
    )


def is_worth_compiling(config: RunConfig, model: nn.Module, device: torch.device, n_workers: int = 1) -> bool:
    """Whether a run is long enough, on one worker, with batches of one shape."""
    if not config.objective.can_compile or n_workers > 1 or not isinstance(model, Decoder):
        return False
    n_parameters = sum(p.numel() for p in model.parameters())
    n_tokens = config.train.batch_size * (config.data.n_ctx or model.blueprint.n_ctx)
    n_operations = 6 * n_parameters * n_tokens * config.train.steps
    return n_operations >= _MIN_OPERATIONS.get(device.type, math.inf)


def _has_compiler() -> bool:
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    return any(shutil.which(name) for name in names if name)
