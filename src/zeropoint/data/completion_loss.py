"""What is asked of a prompt with its answer: the answer alone (as in Stanford Alpaca's training, 2023).

Whoever uses the model gives the prompt, so learning to write prompts is effort lost. A token of a prompt is
kept as its id plus n_vocab: so it is told apart wherever ids go, in memory, shards, packed rows and windows.

It also tells where documents begin, where an answer is followed by a prompt. The documents of a row have
nothing to do with each other, and whoever uses the model asks one thing at a time; so each is to see itself
alone, as if it had a row of its own (Krell et al., "Efficient Sequence Packing without Cross-contamination",
2021).
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
    """How many different numbers ids are kept as: twice the vocabulary where prompts are told apart."""
    return 2 * n_vocab if loss == "completion" else n_vocab


@dataclass(frozen=True, eq=False)
class CompletionBatches:
    """ids [B, T]; the ids that come next [B, T], or -100 where what comes next is part of a prompt; and to
    which of its row's documents each token belongs [B, T], from 0.

    batches: of next tokens, whose prompts are n_vocab higher.
    """

    batches: Batches
    n_vocab: int

    @property
    def n_rows(self) -> int:
        """Of a whole batch."""
        return self.batches.n_rows

    def batch(
        self, step: int, rows: Rows = ALL
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """ids_BT, next_BT, document_BT of step."""
        ids_BT, next_BT = self.batches.batch(step, rows)
        is_prompt_BT = ids_BT >= self.n_vocab
        begins_BT = is_prompt_BT & ~np.roll(is_prompt_BT, 1, axis=1)
        begins_BT[:, 0] = False
        document_BT = begins_BT.cumsum(axis=1, dtype=np.int64)
        return ids_BT % self.n_vocab, np.where(next_BT < self.n_vocab, next_BT, IGNORED), document_BT
