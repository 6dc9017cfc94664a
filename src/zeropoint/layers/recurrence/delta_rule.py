"""The gated delta rule in two forms that compute the same: token by token, and in chunks of matrix products.

Token by token (Yang, Kautz, Hatamizadeh, "Gated Delta Networks", 2024, equation 10), for each head:

    S = alpha_t S;  u_t = beta_t (v_t - S^T k_t);  S = S + k_t u_t^T;  o_t = S^T q_t

In a chunk that begins with state S, write D_ij = alpha_{j+1} ... alpha_i for the decay between two of its
tokens and D_i for that since its beginning. Then all u solve one triangular system, and the rest is products
(Yang et al., "Parallelizing Linear Transformers with the Delta Rule", 2024, section 3):

    u_i + beta_i sum_{j<i} D_ij (k_i . k_j) u_j = beta_i (v_i - D_i S^T k_i)
    o_i = D_i S^T q_i + sum_{j<=i} D_ij (q_i . k_j) u_j
    S   = D_C S + sum_j D_Cj k_j u_j^T

Additional axes: K columns of keys, V columns of values, C tokens of a chunk. Decays are logarithms, so that
their products are sums. A token with beta 0 and log decay 0 leaves the state as it is (padding).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["CHUNK_TOKENS", "Tokens", "by_chunk", "by_token"]

CHUNK_TOKENS = 64


class Tokens(NamedTuple):
    """What the rule reads: queries and keys [B, H, T, K], values [B, H, T, V], beta and log decay [B, H, T].

    begins_BT: True where a document begins, before which the state is emptied; None: nowhere.
    """

    q_BHTK: Tensor
    k_BHTK: Tensor
    v_BHTV: Tensor
    beta_BHT: Tensor
    decay_log_BHT: Tensor
    begins_BT: Tensor | None = None

    def part(self, begin: int, end: int) -> Tokens:
        """Tokens [begin, end)."""
        q, k, v, beta, decay_log = (x[:, :, begin:end] for x in self[:5])
        begins_BT = None if self.begins_BT is None else self.begins_BT[:, begin:end]
        return Tokens(q, k, v, beta, decay_log, begins_BT)


def by_token(tokens: Tokens, state_BHKV: Tensor) -> tuple[Tensor, Tensor]:
    """What each token reads [B, H, T, V], and the state after the last one [B, H, K, V]."""
    outputs = []
    for t in range(tokens.q_BHTK.shape[2]):
        q_BHK, k_BHK, v_BHV, beta_BH, decay_log_BH = (x[:, :, t] for x in tokens[:5])
        decay_BH = decay_log_BH.exp()
        if tokens.begins_BT is not None:
            decay_BH = decay_BH.masked_fill(tokens.begins_BT[:, t, None], 0)
        state_BHKV = state_BHKV * decay_BH[..., None, None]
        stored_BHV = torch.einsum("bhkv,bhk->bhv", state_BHKV, k_BHK)
        correction_BHV = beta_BH[..., None] * (v_BHV - stored_BHV)
        state_BHKV = state_BHKV + k_BHK[..., None] * correction_BHV[..., None, :]
        outputs.append(torch.einsum("bhkv,bhk->bhv", state_BHKV, q_BHK))
    return torch.stack(outputs, dim=2), state_BHKV


def by_chunk(tokens: Tokens, state_BHKV: Tensor) -> tuple[Tensor, Tensor]:
    """The same, CHUNK_TOKENS at a time: far fewer steps, and most of the work in matrix products."""
    outputs = []
    for begin in range(0, tokens.q_BHTK.shape[2], CHUNK_TOKENS):
        output_BHCV, state_BHKV = _chunk(tokens.part(begin, begin + CHUNK_TOKENS), state_BHKV)
        outputs.append(output_BHCV)
    return torch.cat(outputs, dim=2), state_BHKV


def _chunk(tokens: Tokens, state_BHKV: Tensor) -> tuple[Tensor, Tensor]:
    q_BHCK, k_BHCK, v_BHCV, beta_BHC, decay_log_BHC, begins_BC = tokens
    since_begin_BHC = decay_log_BHC.cumsum(-1)
    between_BHCC = since_begin_BHC[..., :, None] - since_begin_BHC[..., None, :]
    is_later_CC = torch.ones(between_BHCC.shape[-2:], dtype=torch.bool, device=q_BHCK.device).triu(1)
    # -inf before exp, not 0 afterwards: growth between a token and an earlier one could overflow.
    between_BHCC = between_BHCC.masked_fill(is_later_CC, -torch.inf)
    to_end_BHC = since_begin_BHC[..., -1:] - since_begin_BHC
    if begins_BC is not None:
        document_BC = begins_BC.cumsum(-1)  # 0 while the state's document continues
        is_other_BCC = document_BC[:, :, None] != document_BC[:, None, :]
        between_BHCC = between_BHCC.masked_fill(is_other_BCC[:, None], -torch.inf)
        since_begin_BHC = since_begin_BHC.masked_fill(document_BC[:, None] > 0, -torch.inf)
        to_end_BHC = to_end_BHC.masked_fill((document_BC != document_BC[:, -1:])[:, None], -torch.inf)
    decay_BHCC, decay_BHC = between_BHCC.exp(), since_begin_BHC.exp()

    beta_BHC1 = beta_BHC[..., None]
    system_BHCC = beta_BHC1 * decay_BHCC * (k_BHCK @ k_BHCK.mT)  # its diagonal counts as 1
    right_BHCV = beta_BHC1 * (v_BHCV - decay_BHC[..., None] * (k_BHCK @ state_BHKV))
    u_BHCV = torch.linalg.solve_triangular(system_BHCC, right_BHCV, upper=False, unitriangular=True)

    output_BHCV = decay_BHC[..., None] * (q_BHCK @ state_BHKV) + (decay_BHCC * (q_BHCK @ k_BHCK.mT)) @ u_BHCV
    written_BHKV = (k_BHCK * to_end_BHC.exp()[..., None]).mT @ u_BHCV
    return output_BHCV, state_BHKV * decay_BHC[..., -1, None, None] + written_BHKV
