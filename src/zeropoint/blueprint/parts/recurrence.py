"""Recurrences: mixing tokens through a state of fixed size, instead of attention over all earlier tokens.

A recurrence reads the state that the earlier tokens left, updates it with each new token and reads its
output from it, so that a token costs the same at every position. Each class has what the rest of the program
needs to know about its kind: parameters, taps, the shapes of its state and its validation rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from zeropoint.frozen import frozen

__all__ = ["Recurrence", "ShortConvolution"]

Shapes = Iterator[tuple[str, tuple[int, ...]]]


@frozen
class ShortConvolution:
    """output(C * conv(B * x)): a causal convolution per channel between two gates (LFM2, Liquid AI, 2025).

    The input projection gives B, C and x, each d_model wide. The convolution sees the last d_kernel
    positions, so the state is the last d_kernel - 1 columns of B * x.

    d_kernel: positions that the convolution sees. has_bias: of the projections and the convolution.
    """

    d_kernel: int
    has_bias: bool = False

    def parameters(self, d_model: int) -> Shapes:
        """Name and shape of each parameter."""
        yield "input.weight", (3 * d_model, d_model)
        if self.has_bias:
            yield "input.bias", (3 * d_model,)
        yield "convolution.weight", (d_model, self.d_kernel)
        if self.has_bias:
            yield "convolution.bias", (d_model,)
        yield "output.weight", (d_model, d_model)
        if self.has_bias:
            yield "output.bias", (d_model,)

    def taps(self, d_model: int) -> Shapes:
        """Name and width of each tap: its rows are tokens."""
        yield "input", (3 * d_model,)
        yield "convolution", (d_model,)

    def state(self, d_model: int) -> Shapes:
        """Name and shape of each tensor of the state of one sequence."""
        yield "columns", (d_model, self.d_kernel - 1)

    def problems(self, field: str, d_model: int) -> Iterator[str]:
        """What is wrong with the values, each as a sentence without a full stop."""
        if not 2 <= self.d_kernel <= 64:
            yield f"{field}.d_kernel is {self.d_kernel}; expected 2 to 64"


Recurrence = ShortConvolution  # the kinds that a block can have; a union as more are added
