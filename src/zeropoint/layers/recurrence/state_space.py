"""The scan of a selective state-space model: S_t = decay_t * S_{t-1} + value_t b_t^T, read as y_t = S_t c_t.

`scan_by_token` is the definition. `scan_by_chunk` gives the same result through matrix products: within a
chunk, y = (mask * C B^T) values, which is attention without a softmax, where the mask holds the decay between
two tokens; only the state at the end of each chunk is passed on (Dao and Gu, "Transformers are SSMs:
Generalized Models and Efficient Algorithms Through Structured State Space Duality", 2024, section 6).

exponent: the logarithm of each token's decay. Axes: P width of a head, S of the state, C chunks, L tokens of
a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["scan_by_chunk", "scan_by_token"]


def scan_by_token(
    value_BTHP: Tensor, exponent_BTH: Tensor, b_BTHS: Tensor, c_BTHS: Tensor, state_BHPS: Tensor
) -> tuple[Tensor, Tensor]:
    """y [B, T, H, P], and the state after the last token."""
    outputs = []
    for t in range(value_BTHP.shape[1]):
        decay_BH11 = exponent_BTH[:, t].exp()[..., None, None]
        state_BHPS = decay_BH11 * state_BHPS + value_BTHP[:, t, :, :, None] * b_BTHS[:, t, :, None, :]
        outputs.append(torch.einsum("bhps,bhs->bhp", state_BHPS, c_BTHS[:, t]))
    return torch.stack(outputs, dim=1), state_BHPS


def scan_by_chunk(
    value_BTHP: Tensor,
    exponent_BTH: Tensor,
    b_BTHS: Tensor,
    c_BTHS: Tensor,
    state_BHPS: Tensor,
    n_chunk: int = 64,
) -> tuple[Tensor, Tensor]:
    """The same as `scan_by_token`, n_chunk tokens at a time."""
    n_tokens = value_BTHP.shape[1]
    value_BCLHP, b_BCLHS, c_BCLHS = (_chunks(x, n_chunk) for x in (value_BTHP, b_BTHS, c_BTHS))
    exponent_BCHL = _chunks(exponent_BTH, n_chunk).transpose(2, 3)

    between_BCHLL = _sums_between(exponent_BCHL).exp()
    weights_BCHLL = torch.einsum("bclhs,bcmhs->bchlm", c_BCLHS, b_BCLHS) * between_BCHLL
    y_BCLHP = torch.einsum("bchlm,bcmhp->bclhp", weights_BCHLL, value_BCLHP)

    to_end_BCHL = between_BCHLL[:, :, :, -1]
    added_BCHPS = torch.einsum("bchl,bclhp,bclhs->bchps", to_end_BCHL, value_BCLHP, b_BCLHS)
    from_start_BCHL = exponent_BCHL.cumsum(-1).exp()
    starts = []  # the state before each chunk
    for c in range(added_BCHPS.shape[1]):
        starts.append(state_BHPS)
        state_BHPS = from_start_BCHL[:, c, :, -1, None, None] * state_BHPS + added_BCHPS[:, c]
    start_BCHPS = torch.stack(starts, dim=1)
    y_BCLHP = y_BCLHP + torch.einsum("bchl,bclhs,bchps->bclhp", from_start_BCHL, c_BCLHS, start_BCHPS)
    return y_BCLHP.flatten(1, 2)[:, :n_tokens], state_BHPS


def _chunks(x_BT: Tensor, n_chunk: int) -> Tensor:
    """[B, T, ...] as [B, C, L, ...], with zeros at the end: no value, and no decay (its logarithm is 0)."""
    n_padding = -x_BT.shape[1] % n_chunk
    padded_BT = F.pad(x_BT, (0, 0) * (x_BT.dim() - 2) + (0, n_padding))
    return padded_BT.reshape(len(padded_BT), -1, n_chunk, *padded_BT.shape[2:])


def _sums_between(x_L: Tensor) -> Tensor:
    """[..., L, L]: row t, column s is x[s + 1] + ... + x[t]; -inf where s is after t.

    A difference of cumulative sums would lose digits, and give NaN for a decay of zero.
    """
    n = x_L.shape[-1]
    is_later = torch.ones(n, n, dtype=torch.bool, device=x_L.device).tril(-1)
    sums_LL = x_L[..., :, None].expand(*x_L.shape, n).masked_fill(~is_later, 0).cumsum(-2)
    return sums_LL.masked_fill(is_later.T, -torch.inf)
