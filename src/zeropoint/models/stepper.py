"""An encoder-decoder as a `Stepper`, so that every decoding strategy of `decoding/` runs on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.models.seq2seq import Seq2Seq

__all__ = ["Seq2SeqStepper"]


class Seq2SeqStepper:
    """Decodes the answer to one source, token by token. Implements `engine.contract.Stepper`."""

    def __init__(self, model: Seq2Seq, source_ids: Sequence[int]) -> None:
        self.model = model
        self.source_BS = torch.tensor([list(source_ids)])
        self.cache = model.new_cache()

    @property
    def n_tokens(self) -> int:
        """Number of answer tokens so far."""
        return self.cache.n_tokens

    @torch.no_grad()
    def extend(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ids and return the logits after each: float32 [T, V]. Raises ContextFull."""
        logits_BTV = self.model(self.source_BS, torch.tensor([list(ids)]), self.cache)
        logits_TV: NDArray[np.float32] = logits_BTV[0].float().numpy()
        return logits_TV

    def read(self, ids: Sequence[int]) -> None:
        """Append ids without returning logits."""
        self.extend(ids)

    def rollback(self, n: int) -> None:
        """Remove the last n tokens."""
        self.cache.rollback(n)

    def close(self) -> None:
        """Free the cache."""
        self.cache = self.model.new_cache()
