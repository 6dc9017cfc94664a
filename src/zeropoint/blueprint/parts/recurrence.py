"""Recurrences: mixing tokens through a state of fixed size, instead of attention over all earlier tokens.

A recurrence reads the state that the earlier tokens left, updates it with each new token and reads its
output from it, so that a token costs the same at every position. Each class has what the rest of the program
needs to know about its kind: parameters, taps, the shapes of its state and its validation rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from zeropoint.frozen import frozen

__all__ = ["GatedDeltaNet", "Mamba2", "Recurrence", "Rwkv7", "ShortConvolution"]

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


@frozen
class Mamba2:
    """A selective state-space model with one decay rate per head (Dao and Gu, "Mamba-2", 2024, section 7).

    The input projection gives a gate z, a value x per head, an input key B and an output key C per group, and
    a step size dt per head. x, B and C pass a short convolution and silu. Each head keeps a matrix
    S [d_head, d_state]:

        S = exp(-exp(decay_log) * step) * S + step * x B^T,   step = softplus(dt + bias)
        y = S C + skip * x

    The output is output(norm(y * silu(z))), normalized in n_groups parts.

    n_groups: heads of a group share B and C. d_kernel: positions that the convolution sees. norm_eps: eps of
    the RMSNorm. has_bias: of the projections.
    """

    n_heads: int
    d_head: int
    d_state: int
    n_groups: int = 1
    d_kernel: int = 4
    norm_eps: float = 1e-5
    has_convolution_bias: bool = True
    has_bias: bool = False

    @property
    def d_inner(self) -> int:
        """Width of the values of all heads together."""
        return self.n_heads * self.d_head

    @property
    def d_convolved(self) -> int:
        """Width of x, B and C together."""
        return self.d_inner + 2 * self.n_groups * self.d_state

    def parameters(self, d_model: int) -> Shapes:
        """Name and shape of each parameter; the rows of `input` are z, x, B, C, dt."""
        d_input = self.d_inner + self.d_convolved + self.n_heads
        yield "input.weight", (d_input, d_model)
        if self.has_bias:
            yield "input.bias", (d_input,)
        yield "convolution.weight", (self.d_convolved, self.d_kernel)
        if self.has_convolution_bias:
            yield "convolution.bias", (self.d_convolved,)
        yield "step_bias", (self.n_heads,)
        yield "decay_log", (self.n_heads,)
        yield "skip", (self.n_heads,)
        yield "norm.weight", (self.d_inner,)
        yield "output.weight", (d_model, self.d_inner)
        if self.has_bias:
            yield "output.bias", (d_model,)

    def taps(self, d_model: int) -> Shapes:
        """Name and width of each tap."""
        yield "input", (self.d_inner + self.d_convolved + self.n_heads,)
        yield "convolution", (self.d_convolved,)
        yield "scan", (self.d_inner,)
        yield "norm", (self.d_inner,)

    def state(self, d_model: int) -> Shapes:
        """Name and shape of each tensor of the state of one sequence."""
        yield "columns", (self.d_convolved, self.d_kernel - 1)
        yield "matrices", (self.n_heads, self.d_head, self.d_state)

    def problems(self, field: str, d_model: int) -> Iterator[str]:
        """What is wrong with the values, each as a sentence without a full stop."""
        for name, maximum in (("n_heads", 65536), ("d_head", 4096), ("d_state", 4096)):
            if not 1 <= getattr(self, name) <= maximum:
                yield f"{field}.{name} is {getattr(self, name)}; expected 1 to {maximum}"
        if self.n_heads >= 1 and (not 1 <= self.n_groups <= self.n_heads or self.n_heads % self.n_groups):
            yield f"{field}.n_groups is {self.n_groups}; expected a divisor of n_heads, {self.n_heads}"
        if not 2 <= self.d_kernel <= 64:
            yield f"{field}.d_kernel is {self.d_kernel}; expected 2 to 64"
        if not (math.isfinite(self.norm_eps) and self.norm_eps > 0):
            yield f"{field}.norm_eps is {self.norm_eps}; expected a number above 0"


@frozen
class GatedDeltaNet:
    """A matrix per head, read and corrected by each token (Yang, Kautz, Hatamizadeh, "Gated Delta Networks",
    2024, section 3; Qwen 3.5).

    The state S [d_key, d_value] of a head is an associative memory: k^T S is the value stored under a key.
    Each token makes it decay by alpha and replaces the value of its own key by a share beta:
    S = alpha S + k (beta (v - k^T (alpha S)))^T, and reads q^T S. Queries and keys have length 1. Before, a
    causal convolution per channel with SiLU mixes each token's q, k and v with those of the tokens before it;
    afterwards each head is normalized and multiplied by silu(gate).

    n_key_heads: heads of queries and of keys, which n_value_heads share in groups. d_key, d_value: their
    widths. d_kernel: positions that the convolution sees. norm_eps: eps of the norm of the heads.
    has_tiled_heads: value head h has key head h % n_key_heads, as in GGUF; else neighbours share one.
    """

    n_key_heads: int
    n_value_heads: int
    d_key: int
    d_value: int
    d_kernel: int = 4
    norm_eps: float = 1e-6
    has_tiled_heads: bool = False

    @property
    def d_keys(self) -> int:
        """Width of all key heads together."""
        return self.n_key_heads * self.d_key

    @property
    def d_values(self) -> int:
        """Width of all value heads together."""
        return self.n_value_heads * self.d_value

    @property
    def d_channels(self) -> int:
        """Width of queries, keys and values together: the channels of the convolution."""
        return 2 * self.d_keys + self.d_values

    def parameters(self, d_model: int) -> Shapes:
        """Name and shape of each parameter. alpha = exp(-exp(decay_log) softplus(W_alpha x + bias))."""
        yield "qkv.weight", (self.d_channels, d_model)
        yield "gate.weight", (self.d_values, d_model)
        yield "alpha.weight", (self.n_value_heads, d_model)
        yield "alpha.bias", (self.n_value_heads,)
        yield "beta.weight", (self.n_value_heads, d_model)
        yield "decay_log", (self.n_value_heads,)
        yield "convolution.weight", (self.d_channels, self.d_kernel)
        yield "norm.weight", (self.d_value,)
        yield "output.weight", (d_model, self.d_values)

    def taps(self, d_model: int) -> Shapes:
        """Name and width of each tap. convolution: q, k and v after SiLU."""
        yield "qkv", (self.d_channels,)
        yield "convolution", (self.d_channels,)
        yield "alpha", (self.n_value_heads,)
        yield "beta", (self.n_value_heads,)
        yield "context", (self.d_values,)
        yield "norm", (self.d_values,)
        yield "gate", (self.d_values,)
        yield "gated", (self.d_values,)

    def state(self, d_model: int) -> Shapes:
        """Name and shape of each tensor of the state of one sequence."""
        yield "columns", (self.d_channels, self.d_kernel - 1)
        yield "memory", (self.n_value_heads, self.d_key, self.d_value)

    def problems(self, field: str, d_model: int) -> Iterator[str]:
        """What is wrong with the values, each as a sentence without a full stop."""
        for name, maximum in (("n_key_heads", 65536), ("d_key", 4096), ("d_value", 4096)):
            if not 1 <= getattr(self, name) <= maximum:
                yield f"{field}.{name} is {getattr(self, name)}; expected 1 to {maximum}"
        n_keys, n_values = self.n_key_heads, self.n_value_heads
        if n_keys >= 1 and (not n_keys <= n_values <= 65536 or n_values % n_keys):
            yield f"{field}.n_value_heads is {n_values}; expected a multiple of n_key_heads, {n_keys}"
        if not 2 <= self.d_kernel <= 64:
            yield f"{field}.d_kernel is {self.d_kernel}; expected 2 to 64"
        if not 0 < self.norm_eps < math.inf:
            yield f"{field}.norm_eps is {self.norm_eps}; expected a number above 0"


@frozen
class Rwkv7:
    """The time mix of RWKV-7 "Goose": a delta rule whose decay and learning rate are vectors (Peng et al.,
    2025, arXiv 2503.14456, section 4).

    Each token is mixed with the one before it, in another proportion for each of its six uses: receptance r,
    decay w, key k, value v, rate a and gate g. Each head keeps a matrix S [value, key]:

        S = S diag(w) - (S kappa) (a * kappa)^T + v k^T,   y = S r + (r . (bonus * k)) v

    kappa = k * removal_scale, of length 1, is the key whose value is removed; k * (1 + (a - 1) *
    replacement_scale) is the one that is added. y is normalized per head and multiplied by g. w, a, g and the
    share of the first block's value come from projections through a narrow layer (`LowRank`).

    value_rank: 0 in the block whose values later blocks mix into theirs. norm_eps: of the norm per head.
    """

    d_head: int
    decay_rank: int
    rate_rank: int
    value_rank: int
    gate_rank: int
    norm_eps: float = 64e-5

    def parameters(self, d_model: int) -> Shapes:
        """Name and shape of each parameter; the rows of `shift` are r, w, k, v, a, g."""
        yield "shift", (6, d_model)
        for name in ("receptance", "key", "value"):
            yield f"{name}.weight", (d_model, d_model)
        ranks = {"decay": self.decay_rank, "rate": self.rate_rank, "first_value": self.value_rank}
        for name, rank in (ranks | {"gate": self.gate_rank}).items():
            if rank:
                yield f"{name}.down.weight", (rank, d_model)
                yield f"{name}.up.weight", (d_model, rank)
            if rank and name != "gate":
                yield f"{name}.bias", (d_model,)
        for name in ("removal_scale", "replacement_scale", "bonus", "norm.weight", "norm.bias"):
            yield name, (d_model,)
        yield "output.weight", (d_model, d_model)

    def taps(self, d_model: int) -> Shapes:
        """Name and width of each tap. key, value: as added to the state; scan: what heads read from it."""
        for name in ("receptance", "key", "value", "decay", "rate", "gate", "scan", "norm"):
            yield name, (d_model,)

    def state(self, d_model: int) -> Shapes:
        """Name and shape of each tensor of the state of one sequence."""
        yield "last", (d_model,)
        yield "matrices", (d_model // self.d_head, self.d_head, self.d_head)

    def problems(self, field: str, d_model: int) -> Iterator[str]:
        """What is wrong with the values, each as a sentence without a full stop."""
        if not 1 <= self.d_head <= 4096 or d_model % self.d_head:
            yield f"{field}.d_head is {self.d_head}; expected a divisor of d_model, {d_model}, up to 4096"
        for name, minimum in (("decay_rank", 1), ("rate_rank", 1), ("value_rank", 0), ("gate_rank", 1)):
            if not minimum <= getattr(self, name) <= 65536:
                yield f"{field}.{name} is {getattr(self, name)}; expected {minimum} to 65536"
        if not (math.isfinite(self.norm_eps) and self.norm_eps > 0):
            yield f"{field}.norm_eps is {self.norm_eps}; expected a number above 0"


Recurrence = ShortConvolution | Mamba2 | GatedDeltaNet | Rwkv7  # the kinds that a block can have
