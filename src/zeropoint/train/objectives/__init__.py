"""Training objectives, one per file; the file's name is `objective.kind` in a configuration.

`Objective` below is the contract. To add one, write a frozen dataclass that derives from it in a new file of
this folder. Read `next_token` (GPT) first, then `masked_lm` (BERT) and `seq2seq` (translation).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import Batches
from zeropoint.data.pairs import Pair
from zeropoint.data.text_codec import TextCodec

__all__ = ["Objective"]


class Objective(ABC):
    """A loss, and the batches that it needs. Subclasses are frozen dataclasses with `option` fields.

    data: "text" (token windows of one corpus) or "pairs" (source and target sentences).
    can_compile: the loss has the same shapes at every step, so `torch.compile` pays off.
    has_completion_loss: supports `data.loss = "completion"`, which ignores the tokens of the prompt.
    """

    data: ClassVar[Literal["text", "pairs"]] = "text"
    can_compile: ClassVar[bool] = False
    has_completion_loss: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, model: nn.Module, *batch: Any) -> Tensor:
        """The mean loss of a batch over its targets, in nats."""

    @abstractmethod
    def n_targets(self, *batch: Any) -> int:
        """The number of targets in a batch; losses of several batches are weighted by it."""

    def n_vocab(self, codec: TextCodec) -> int:
        """The vocabulary size of a model that reads this tokenizer's ids."""
        return codec.n_vocab

    def check_blueprint(self, blueprint: Blueprint) -> None:  # noqa: B027 - by default any is fine
        """Raise BadInput if a model of this blueprint cannot be trained with this objective."""

    def text_batches(self, batches: Batches, codec: TextCodec, seed: int) -> Batches:
        """The batches to train on, given windows of (ids [B, T], next ids [B, T]); `data` is "text"."""
        return batches

    def pair_batches(self, pairs: Sequence[Pair], n_rows: int, seed: int) -> Batches:
        """The batches to train on, given encoded pairs; `data` is "pairs"."""
        raise NotImplementedError
