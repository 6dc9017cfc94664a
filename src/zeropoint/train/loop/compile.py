"""torch.compile where it pays: forward and backward pass become a few loops in C++ (or on a GPU, kernels).

A step then takes about half the time, but the compiler wants half a minute before the first one. So `auto`
compiles runs that are long, judged by what is known before they start and never by a clock, so that a run
which is resumed computes as it did before. Judging and sampling stay as they are written: they are short, and
every shape of theirs would be compiled anew.
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
from zeropoint.train.loop.loop import CountsTargets, Objective
from zeropoint.train.objectives.next_token import NextToken

__all__ = ["Compiled", "compiled_if_it_pays", "pays"]

# Operations of products of a run from which on the compiler's half minute is earned back: some four minutes
# of training on two cores of an AMD EPYC (Zen 4), some one at the 50 teraflops a second that a model of ten
# million weights has on an NVIDIA H200.
_LONG = {"cpu": 2e13, "cuda": 3e15}


class Compiled:
    """An objective whose passes are compiled for the shapes of the first batch.

    must: whether what cannot be compiled is an error; else it is computed as it is written.
    """

    def __init__(self, objective: Objective, backend: str = "inductor", *, must: bool = True) -> None:
        self.objective, self.must, self._is_new = objective, must, True
        self._compute = torch.compile(_called(objective), backend=backend, dynamic=False, fullgraph=True)

    def __call__(self, model: nn.Module, *batch: Any) -> Tensor:
        """The loss. Raises MachineError where it must be compiled and cannot."""
        try:
            loss: Tensor = self._first(model, *batch) if self._is_new else self._compute(model, *batch)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            if self.must:
                why = " ".join(str(error).split("\n")[:2]).strip()[:200]
                raise MachineError(
                    f'the model cannot be compiled here ({why}); mend that, or set train.compile="never"'
                ) from None
            self._compute = self.objective
            loss = self.objective(model, *batch)
        return loss

    def _first(self, model: nn.Module, *batch: Any) -> Tensor:
        """The compiler has advice, such as to multiply in fewer digits, which is not what was asked for."""
        self._is_new = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loss: Tensor = self._compute(model, *batch)
        return loss

    def n_targets(self, *batch: Any) -> int:
        """What the loss is a mean over."""
        return (
            self.objective.n_targets(*batch) if isinstance(self.objective, CountsTargets) else len(batch[0])
        )


def _called(objective: Objective) -> Objective:
    """A plain function, which is what the compiler takes."""
    return lambda model, *batch: objective(model, *batch)


def compiled_if_it_pays(
    config: RunConfig, model: nn.Module, device: torch.device, n_workers: int = 1
) -> Objective:
    """The objective, compiled as `train.compile` says. Raises MachineError where it says "always" in vain."""
    asked = config.train.compile
    if asked == "never" or (asked == "auto" and not pays(config, model, device, n_workers)):
        return config.objective
    if _has_compiler():
        return Compiled(config.objective, must=asked == "always")
    if asked == "auto":
        return config.objective
    raise MachineError(
        'train.compile is "always" and there is no C++ compiler; install g++, or name yours in CXX, or give '
        '"never"'
    )


def pays(config: RunConfig, model: nn.Module, device: torch.device, n_workers: int = 1) -> bool:
    """Whether a run is long, its batches all of one shape, and its gradients nobody else's to wait for."""
    if not isinstance(config.objective, NextToken) or n_workers > 1 or not isinstance(model, Decoder):
        return False
    n_parameters = sum(p.numel() for p in model.parameters())
    n_tokens = config.train.batch_size * (config.data.n_ctx or model.blueprint.n_ctx)
    return 6 * n_parameters * n_tokens * config.train.steps >= _LONG.get(device.type, math.inf)


def _has_compiler() -> bool:
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    return any(shutil.which(name) for name in names if name)
