"""Verify causality: no logit may depend on later tokens.

Changes the tokens from some position on and compares the logits before it. A model that sees the future
learns to copy: its loss falls below what is possible, and its text is worthless, but nothing crashes. The
usual causes are a missing or additive mask, a norm over the whole window and a convolution that reaches
ahead. The check measures behaviour, so it finds them however the model is written.

Each row of the batch changes at another position, which finds leaks at single positions. The model runs as in
training: in training mode (batch norm leaks only there), with the same dropout in both passes, and with small
random values in place of weights that are entirely zero, because a zero matrix hides what it will let through
later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zeropoint.errors import BadInput, MachineError

__all__ = ["CausalityViolation", "check_causality"]

_MIN_ROWS, _N_TOKENS = 8, 2048  # one row per changed position, within this number of tokens
_MAX_ROW_TOKENS = 256  # a leak shows in any window, and long windows cost as much as a training step
_NOISE_STD = 0.02  # of the values that replace zero weights
# Tolerance relative to the largest output. Sums in another order (experts receive other rows) differ by 1e-6;
# the weakest leak known here, a norm over 256 tokens, changes the output by 1e-3.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class CausalityViolation:
    """A leak of future tokens.

    module: dotted name of the first module whose output depends on later tokens although its input does not.
    kind: its class. change: how far its output moves, relative to its largest value; logit_change: the same
    for the logits. position: the first position whose logits move when tokens from `token` on change. others:
    modules that leak even if the earlier leaks are fixed.
    """

    module: str
    kind: str
    change: float
    logit_change: float
    position: int
    token: int
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.module} ({self.kind}) leaks future tokens: changing tokens from {self.token} on moves "
            f"its output at earlier positions by {self.change:.2g} and the logits at position "
            f"{self.position} by {self.logit_change:.2g}, relative to the largest value"
            + (f"; {', '.join(self.others)} leak too" if self.others else "")
        )


def check_causality(
    model: nn.Module, n_vocab: int, n_ctx: int, seed: int = 0, *, source_BS: Tensor | None = None
) -> CausalityViolation | None:
    """Find the first leak of a model(ids [B, T]) -> logits [B, T, V]; None if the model is causal.

    n_ctx: context length. source_BS: source tokens of an encoder-decoder, [1, S]. Weights, mode and random
    generators stay unchanged.
    Raises BadInput for fewer than two tokens or positions, MachineError if the logits are not finite.
    """
    if n_vocab < 2 or n_ctx < 2:
        raise BadInput(
            f"causality cannot be checked with n_vocab {n_vocab} and n_ctx {n_ctx}; both must be at least 2"
        )
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    probe = _Probe.random(n_vocab, min(n_ctx, _MAX_ROW_TOKENS), generator)
    weights = _without_zeros(model, generator)

    def logits(ids_BT: Tensor) -> Tensor:
        source = () if source_BS is None else (source_BS.to(device).expand(len(ids_BT), -1),)
        return _seeded_call(model, weights, (*source, ids_BT.to(device)), seed)

    was_training = model.training
    model.train()
    try:
        moved = probe.moved(logits(probe.ids_BT), logits(probe.changed_BT), axis=1)
        if not torch.isfinite(moved).all():
            raise MachineError(
                "the logits of the untrained model are not finite; check its modules and their initialization"
            )
        if moved.max() <= _TOLERANCE:
            return None
        leaks = _find_leaks(model, probe, logits)
    finally:
        model.train(was_training)
    position, row = divmod(int((moved.T > _TOLERANCE).flatten().int().argmax()), len(moved))
    (name, (kind, change)), *others = leaks.items()
    return CausalityViolation(
        name, kind, change, float(moved.max()), position, int(probe.token_B[row]), tuple(n for n, _ in others)
    )


@dataclass(frozen=True)
class _Probe:
    """Random ids, the same ids changed from token_B on, and a measure of the change before that."""

    ids_BT: Tensor
    changed_BT: Tensor
    token_B: Tensor

    @staticmethod
    def random(n_vocab: int, n_tokens: int, generator: torch.Generator) -> _Probe:
        n_rows = min(max(_MIN_ROWS, _N_TOKENS // n_tokens), n_tokens - 1)
        ids_BT = torch.randint(n_vocab, (n_rows, n_tokens), generator=generator)
        other_BT = (ids_BT + torch.randint(1, n_vocab, ids_BT.shape, generator=generator)) % n_vocab
        token_B = torch.linspace(1, n_tokens - 1, n_rows).round().long()
        is_later_BT = torch.arange(n_tokens) >= token_B[:, None]
        return _Probe(ids_BT, torch.where(is_later_BT, other_BT, ids_BT), token_B)

    def moved(self, original: Tensor, changed: Tensor, axis: int) -> Tensor:
        """[B, T]: the change at each position before token_B, relative to the largest value; 0 elsewhere."""
        n_rows, n_tokens = self.ids_BT.shape
        a, b = (
            x.detach().float().movedim(axis, 1).reshape(n_rows, n_tokens, -1) for x in (original, changed)
        )
        difference_BT = (a - b).abs().amax(-1).cpu() / a.abs().max().clamp(min=1e-30).cpu()
        is_before_BT = torch.arange(n_tokens) < self.token_B[:, None]
        return torch.where(is_before_BT, difference_BT, 0.0)

    def change(self, original: Tensor, changed: Tensor) -> float:
        """The largest value of `moved`; 0 for a tensor without a token axis.

        If several axes have the right length, take the one with the smallest change: along the true axis a
        causal model does not change.
        """
        axes = self.axes(original)
        return min((float(self.moved(original, changed, axis).max()) for axis in axes), default=0.0)

    def axes(self, tensor: Tensor) -> list[int]:
        """The axes that can be the token axis."""
        n_rows, n_tokens = self.ids_BT.shape
        if tensor.dim() < 2 or len(tensor) != n_rows:
            return []
        return [axis for axis in range(1, tensor.dim()) if tensor.shape[axis] == n_tokens]

    def repaired(self, original: Tensor, changed: Tensor) -> Tensor:
        """`changed`, with the original values at positions before token_B."""
        n_rows, n_tokens = self.ids_BT.shape
        is_before_BT = torch.arange(n_tokens) < self.token_B[:, None]
        shape = [n_rows] + [1] * (changed.dim() - 1)
        shape[self.axes(original)[0]] = n_tokens
        return torch.where(is_before_BT.view(shape).to(changed.device), original, changed)


def _find_leaks(
    model: nn.Module, probe: _Probe, logits: Callable[[Tensor], Tensor]
) -> dict[str, tuple[str, float]]:
    """The leaking modules, name -> (class, change): only their output depends on later tokens.

    Each leak is repaired on the fly, so that the following modules are judged on their own.
    """
    calls: list[tuple[list[Tensor], list[Tensor]]] = []
    leaks: dict[str, tuple[str, float]] = {}

    def record(name: str, kind: str, inputs: list[Tensor], output: Any) -> None:
        calls.append((inputs, list(_floats(output))))

    def compare(name: str, kind: str, inputs: list[Tensor], output: Any) -> Any:
        original_inputs, original_outputs = next(originals)
        change = _largest_change(probe, original_outputs, list(_floats(output)))
        if change <= _TOLERANCE or _largest_change(probe, original_inputs, inputs) > _TOLERANCE:
            return None
        leaks.setdefault(name, (kind, change))
        return probe.repaired(original_outputs[0], output) if isinstance(output, Tensor) else None

    with _hooked(model, record):
        logits(probe.ids_BT)
    originals = iter(calls)
    with _hooked(model, compare):
        logits(probe.changed_BT)
    return leaks


@contextmanager
def _hooked(model: nn.Module, function: Callable[[str, str, list[Tensor], Any], Any]) -> Iterator[None]:
    """Call function(name, class, inputs, output) after each module; a result replaces the module's output."""

    def hook(name: str) -> Callable[..., Any]:
        return lambda module, args, kwargs, output: function(
            name or type(module).__name__, type(module).__name__, list(_floats((args, kwargs))), output
        )

    hooks = [m.register_forward_hook(hook(name), with_kwargs=True) for name, m in model.named_modules()]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def _largest_change(probe: _Probe, original: list[Tensor], changed: list[Tensor]) -> float:
    return max((probe.change(a, b) for a, b in zip(original, changed, strict=True)), default=0.0)


def _floats(value: Any) -> Iterator[Tensor]:
    """Floating-point tensors in nested tuples, lists and dictionaries."""
    match value:
        case Tensor() if value.is_floating_point():
            yield value.detach()
        case tuple() | list():
            for part in value:
                yield from _floats(part)
        case dict():
            yield from _floats(list(value.values()))


def _without_zeros(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Replacements for the model's tensors.

    Noise for weights that are entirely zero, copies of the buffers.
    """
    tensors: dict[str, Tensor] = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for name, weight in model.named_parameters():
        if not weight.detach().any():
            noise = torch.randn(weight.shape, generator=generator) * _NOISE_STD
            tensors[name] = noise.to(weight.device, weight.dtype).requires_grad_(weight.requires_grad)
    return tensors


def _seeded_call(model: nn.Module, weights: dict[str, Tensor], args: tuple[Tensor, ...], seed: int) -> Tensor:
    """The logits with torch's generators (which dropout uses) at a seed; their state is restored."""
    devices = [args[-1].device] if args[-1].device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        logits: Tensor = functional_call(model, weights, args)
    return logits.detach()
