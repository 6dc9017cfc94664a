"""What a block does with each token by itself."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SwiGLU"]


@dataclass(frozen=True)
class SwiGLU:
    """down(silu(gate(x)) * up(x)) with a hidden width of d_ff (Shazeer, "GLU Variants", 2020)."""

    d_ff: int
