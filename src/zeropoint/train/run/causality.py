"""Does a model see the future? Change the tokens from some position on: no logit before it may move.

A model that learns to say the next token must not be shown it. One that is shown learns to copy, its loss
falls far below what is possible, and it writes nothing of worth. Nothing crashes, so it is tested before
training: a mask that is missing or adds ones where it should take all away, a norm over the whole window, a
convolution that reaches ahead are all found here, by what they do and not by how they are written.

Each row of the batch is changed from another position on, so that a leak from one place only is met too.
The model is called as training calls it: in training mode (a norm over the batch leaks only there), with the
same draws of dropout both times, and with every weight that is zero throughout stirred, because a zero
matrix hides today what it will let through tomorrow.
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

_FEWEST_ROWS, _N_TOKENS = 8, 2048  # a row for every position to change from, if so many tokens suffice
_LONGEST = 256  # tokens a row: a leak shows in any window, and a long one costs as much as training on it
_STIRRED = 0.02  # standard deviation of what takes the place of a weight that is zero
# Relative to the largest output. The same sums in another order (experts get other rows) differ by 1e-6; a
# norm over 256 tokens, the faintest leak known here, moves by 1e-3.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class CausalityViolation:
    """What of the future was seen.

    module: dotted name of the first module that gives out more than it was given: what it reads knows
    nothing of later tokens, what it returns does. kind: its class. change: how far its output moved, in
    shares of its largest number; logit_change: the same of the logits. position: the first whose logits
    move with the tokens from `token` on. others: what lets more through after those before are mended.
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
            f"{self.module} ({self.kind}) lets later tokens through: its output at earlier positions moves by"
            f" {self.change:.2g} of its size, and the logits at position {self.position} move by"
            f" {self.logit_change:.2g} of theirs, when tokens from {self.token} on are changed"
            + (f"; so do {', '.join(self.others)}" if self.others else "")
        )


def check_causality(
    model: nn.Module, n_vocab: int, n_ctx: int, seed: int = 0, *, source_BS: Tensor | None = None
) -> CausalityViolation | None:
    """The leak of a model(ids [B, T]) -> logits [B, T, V], or None where past logits stay as they are.

    n_ctx: positions it is trained for. source_BS: what an encoder-decoder reads before ids, [1, S]. Weights,
    mode and generators are left as they were.
    Raises BadInput for fewer than two tokens or positions, MachineError where logits are not numbers.
    """
    if n_vocab < 2 or n_ctx < 2:
        raise BadInput(
            f"{n_vocab} tokens and {n_ctx} positions leave no future to change; a leak shows from 2 of each"
        )
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    probe = _Probe.drawn(n_vocab, min(n_ctx, _LONGEST), generator)
    weights = _stirred(model, generator)

    def logits(ids_BT: Tensor) -> Tensor:
        before = () if source_BS is None else (source_BS.to(device).expand(len(ids_BT), -1),)
        return _same_draws(model, weights, (*before, ids_BT.to(device)), seed)

    was_training = model.training
    model.train()
    try:
        moved = probe.moved(logits(probe.ids_BT), logits(probe.changed_BT), axis=1)
        if not torch.isfinite(moved).all():
            raise MachineError("the logits of the model are not numbers before any training; check its parts")
        if moved.max() <= _ROUNDING:
            return None
        entries = _entries(model, probe, logits)
    finally:
        model.train(was_training)
    position, row = divmod(int((moved.T > _ROUNDING).flatten().int().argmax()), len(moved))
    (name, (kind, change)), *others = entries.items()
    return CausalityViolation(
        name, kind, change, float(moved.max()), position, int(probe.token_B[row]), tuple(n for n, _ in others)
    )


@dataclass(frozen=True)
class _Probe:
    """ids, the same changed from token_B on, and the question how far what came before has moved."""

    ids_BT: Tensor
    changed_BT: Tensor
    token_B: Tensor

    @staticmethod
    def drawn(n_vocab: int, n_tokens: int, generator: torch.Generator) -> _Probe:
        n_rows = min(max(_FEWEST_ROWS, _N_TOKENS // n_tokens), n_tokens - 1)
        ids_BT = torch.randint(n_vocab, (n_rows, n_tokens), generator=generator)
        others_BT = (ids_BT + torch.randint(1, n_vocab, ids_BT.shape, generator=generator)) % n_vocab
        token_B = torch.linspace(1, n_tokens - 1, n_rows).round().long()
        is_later_BT = torch.arange(n_tokens) >= token_B[:, None]
        return _Probe(ids_BT, torch.where(is_later_BT, others_BT, ids_BT), token_B)

    def moved(self, original: Tensor, changed: Tensor, axis: int) -> Tensor:
        """[B, T]: the largest change at each position before token_B, as a share of the largest number."""
        n_rows, n_tokens = self.ids_BT.shape
        a, b = (
            x.detach().float().movedim(axis, 1).reshape(n_rows, n_tokens, -1) for x in (original, changed)
        )
        difference_BT = (a - b).abs().amax(-1).cpu() / a.abs().max().clamp(min=1e-30).cpu()
        is_before_BT = torch.arange(n_tokens) < self.token_B[:, None]
        return torch.where(is_before_BT, difference_BT, 0.0)

    def change(self, original: Tensor, changed: Tensor) -> float:
        """The largest of `moved`; 0 for a tensor in which no axis can be that of tokens.

        Where several can be, as in a square one, the kindest counts: along the right axis nothing moves.
        """
        axes = self.axes(original)
        return min((float(self.moved(original, changed, axis).max()) for axis in axes), default=0.0)

    def axes(self, tensor: Tensor) -> list[int]:
        """The axes that may be those of tokens."""
        n_rows, n_tokens = self.ids_BT.shape
        if tensor.dim() < 2 or len(tensor) != n_rows:
            return []
        return [axis for axis in range(1, tensor.dim()) if tensor.shape[axis] == n_tokens]

    def mended(self, original: Tensor, changed: Tensor) -> Tensor:
        """`changed`, but at positions before token_B as it was."""
        n_rows, n_tokens = self.ids_BT.shape
        is_before_BT = torch.arange(n_tokens) < self.token_B[:, None]
        shape = [n_rows] + [1] * (changed.dim() - 1)
        shape[self.axes(original)[0]] = n_tokens
        return torch.where(is_before_BT.view(shape).to(changed.device), original, changed)


def _entries(
    model: nn.Module, probe: _Probe, logits: Callable[[Tensor], Tensor]
) -> dict[str, tuple[str, float]]:
    """Where the future comes in: name to class and change of each module that returns more than it reads.

    Each is mended as it is met, so that what follows is judged by what it adds.
    """
    calls: list[tuple[list[Tensor], list[Tensor]]] = []
    found: dict[str, tuple[str, float]] = {}

    def note(name: str, kind: str, read: list[Tensor], output: Any) -> None:
        calls.append((read, list(_floats(output))))

    def judge(name: str, kind: str, read: list[Tensor], output: Any) -> Any:
        read_before, made_before = next(before)
        made = list(_floats(output))
        change = _largest(probe, made_before, made)
        if change <= _ROUNDING or _largest(probe, read_before, read) > _ROUNDING:
            return None
        found.setdefault(name, (kind, change))
        return probe.mended(made_before[0], output) if isinstance(output, Tensor) else None

    with _watched(model, note):
        logits(probe.ids_BT)
    before = iter(calls)
    with _watched(model, judge):
        logits(probe.changed_BT)
    return found


@contextmanager
def _watched(model: nn.Module, look: Callable[[str, str, list[Tensor], Any], Any]) -> Iterator[None]:
    """look(name, class, what went in, what came out) after each call; its answer takes the output's place."""

    def hook(name: str) -> Callable[..., Any]:
        return lambda module, args, kwargs, output: look(
            name or type(module).__name__, type(module).__name__, list(_floats((args, kwargs))), output
        )

    hooks = [m.register_forward_hook(hook(name), with_kwargs=True) for name, m in model.named_modules()]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def _largest(probe: _Probe, original: list[Tensor], changed: list[Tensor]) -> float:
    return max((probe.change(a, b) for a, b in zip(original, changed, strict=True)), default=0.0)


def _floats(value: Any) -> Iterator[Tensor]:
    """Tensors of real numbers in nested tuples, lists and dictionaries."""
    match value:
        case Tensor() if value.is_floating_point():
            yield value.detach()
        case tuple() | list():
            for part in value:
                yield from _floats(part)
        case dict():
            yield from _floats(list(value.values()))


def _stirred(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """What to call the model with in place of its own: zero weights drawn anew, buffers that may change."""
    drawn: dict[str, Tensor] = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for name, weight in model.named_parameters():
        if not weight.detach().any():
            noise = torch.randn(weight.shape, generator=generator) * _STIRRED
            drawn[name] = noise.to(weight.device, weight.dtype).requires_grad_(weight.requires_grad)
    return drawn


def _same_draws(model: nn.Module, weights: dict[str, Tensor], args: tuple[Tensor, ...], seed: int) -> Tensor:
    """Logits, with torch's generators (dropout draws from them) at a seed and afterwards as before."""
    devices = [args[-1].device] if args[-1].device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        logits: Tensor = functional_call(model, weights, args)
    return logits.detach()
