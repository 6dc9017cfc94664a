"""Completion-only loss: ignore the tokens of prompts, learn those of completions (Stanford Alpaca, 2023).

The user writes the prompt, so learning to write prompts is wasted effort. A prompt token is stored as its id
plus n_vocab, so prompts stay marked wherever ids go: in memory, shards, packed rows and windows.

A change from completion to prompt also marks the start of a document. Documents packed into one row are
unrelated, and in use the model sees one at a time; so attention is limited to the own document, as if it had
a row to itself (Krell et al., "Efficient Sequence Packing without Cross-contamination", 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.batches import ALL, IGNORED, Batches, Rows

__all__ = ["CompletionBatches", "LossTargets", "n_ids"]

LossTargets = Literal["all", "completion"]


def n_ids(n_vocab: int, loss: str) -> int:
    """Upper bound of the stored ids: n_vocab, or twice that if prompts are marked."""
    return 2 * n_vocab if loss == "completion" else n_vocab


@dataclass(frozen=True, eq=False)
class CompletionBatches:
    """Inputs [B, T], next-token targets [B, T] with -100 for prompt tokens, and document numbers [B, T].

    batches: next-token batches whose prompt ids are n_vocab higher. Document numbers count from 0 per row.
    """

    batches: Batches
    n_vocab: int

    @property
    def n_rows(self) -> int:
        """The batch size."""
        return self.batches.n_rows

    def batch(
        self, step: int, rows: Rows = ALL
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, target_BT, document_BT of batch `step`."""
        ids_BT, target_BT = self.batches.batch(step, rows)
        is_prompt_BT = ids_BT >= self.n_vocab
        is_start_BT = is_prompt_BT & ~np.roll(is_prompt_BT, 1, axis=1)
        is_start_BT[:, 0] = False
        document_BT = is_start_BT.cumsum(axis=1, dtype=np.int64)
        return ids_BT % self.n_vocab, np.where(target_BT < self.n_vocab, target_BT, IGNORED), document_BT
