"""Run a torch encoder (BERT) over texts: the last hidden state of every token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.models.build import build, load
from zeropoint.models.encoder import Encoder

if TYPE_CHECKING:
    from zeropoint.weights.open_model import OpenedModel

__all__ = ["TorchTextEncoder"]

_TOKENS_AT_ONCE = 4096  # of a padded batch


class TorchTextEncoder:
    """An encoder without its head."""

    def __init__(self, opened: OpenedModel) -> None:
        """Load the weights. Raises BadModelFile, DiskError."""
        module = build(opened.blueprint, seed=None)
        load(module, opened.weights, opened.file.name)
        self._module = cast(Encoder, module.eval())

    @property
    def n_bytes(self) -> int:
        """Memory of the weights."""
        return sum(p.numel() * p.element_size() for p in self._module.parameters())

    @torch.no_grad()
    def hidden(self, texts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """The last hidden states of each text: float32 [T, D]. Texts of similar length share a pass."""
        found: dict[int, NDArray[np.float32]] = {}
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        while order:
            longest = len(texts[order[-1]])
            group = order[-max(1, _TOKENS_AT_ONCE // max(longest, 1)) :]
            del order[-len(group) :]
            ids_BT, mask_BT = torch.zeros(2, len(group), longest, dtype=torch.long)
            for row, index in enumerate(group):
                ids_BT[row, : len(texts[index])] = torch.tensor(texts[index])
                mask_BT[row, : len(texts[index])] = 1
            x_BTD = self._module.hidden(ids_BT, mask_BT)
            for row, index in enumerate(group):
                found[index] = x_BTD[row, : len(texts[index])].numpy()
        return [found[i] for i in range(len(texts))]
