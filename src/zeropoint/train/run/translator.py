"""What a sequence-to-sequence run has learnt, put to use: sentences in, sentences out, where it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from zeropoint.data.pairs import encode_source, encode_target
from zeropoint.data.text_codec import TextCodec, load_codec
from zeropoint.decoding.answers import Answering, beam_answers, greedy_answers
from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput
from zeropoint.files.paths import display_path
from zeropoint.models.build import build
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.models.trace import trace
from zeropoint.train.averaging.checkpoint_averaging import average_weights
from zeropoint.weights.run_checkpoint import RunCheckpoint, checkpoint_of, is_run, open_checkpoint, steps_of

__all__ = ["AttentionMap", "Translator", "open_translator"]

_LONGEST = 100  # tokens of an answer, where the model does not end it before


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """How much each token looked at each other in one layer: weights [H, T, S], a row sums to 1.

    kind: "encoder self", "decoder self" or "decoder source". queries, keys: the tokens as text.
    """

    kind: str
    layer: int
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    weights_HTS: Tensor


@dataclass(frozen=True, eq=False)
class Translator:
    """A model with its tokenizer. name: of the weights, for people."""

    name: str
    model: Seq2Seq
    coding: TextCodec

    def translate(self, texts: Sequence[str], beam: Beam | None = None) -> list[str]:
        """A translation of each, all at once; greedy without a beam. An empty text has an empty translation.

        Raises BadInput for a text that the model has no room for.
        """
        return [self.coding.decode(ids) for ids in self.answers(texts, beam)]

    def answers(self, texts: Sequence[str], beam: Beam | None = None) -> list[list[int]]:
        """The ids of each translation, without those that begin and end it. Raises BadInput as above."""
        n_ctx, (begin, end) = self.model.blueprint.n_ctx, self._ends
        written = [text for text in texts if text.strip()]
        sources = [encode_source(self.coding, text) for text in written]
        for text, ids in zip(written, sources, strict=True):
            if len(ids) > n_ctx:
                raise BadInput(
                    f"the text {text!r:.60} has {len(ids)} tokens and the model reads {n_ctx}; give sentences"
                )
        how = Answering(begin, {end}, min(_LONGEST, n_ctx - 1))
        if beam is None:
            answers = iter(greedy_answers(self.model, sources, how))
        else:
            answers = (list(found[0].ids) for found in beam_answers(self.model, sources, how, beam))
        return [next(answers) if text.strip() else [] for text in texts]

    def attention(self, text: str, answer: Sequence[int]) -> list[AttentionMap]:
        """What every layer looked at when it read `text` and said `answer`: encoder, decoder, and across."""
        source, said = encode_source(self.coding, text), [self._ends[0], *answer]
        keys, queries = (*self._tokens(source[:-1]), "</s>"), ("<s>", *self._tokens(answer))
        kinds = (
            ("encoder self", "encoder.{}.attention.weights", keys, keys),
            ("decoder self", "blocks.{}.attention.weights", queries, queries),
            ("decoder source", "blocks.{}.cross_attention.weights", queries, keys),
        )
        b = self.model.blueprint
        layers = [range(len(b.encoder)), range(b.n_layers), range(b.n_layers)]
        points = [point.format(i) for (_, point, *_), n in zip(kinds, layers, strict=True) for i in n]
        seen = trace(self.model, said, source, points=points)
        return [
            AttentionMap(kind, i, rows, columns, seen[point.format(i)])
            for (kind, point, rows, columns), n in zip(kinds, layers, strict=True)
            for i in n
        ]

    @property
    def _ends(self) -> tuple[int, int]:
        """What begins an answer, and what ends it."""
        begin, end = encode_target(self.coding, "")
        return begin, end

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.coding.decode([index]).strip() or "␣" for index in ids]


def open_translator(run: Path, which: str | int = "best", n_averaged: int = 1) -> Translator:
    """The model of a run's checkpoint: "best", "latest" or a step.

    n_averaged: the mean of the weights of so many checkpoints, that one and those before it.
    Raises BadInput for a folder that is no such run, BadModelFile for a damaged one, DiskError.
    """
    if not is_run(run):
        raise BadInput(
            f"{display_path(run)} is no training run; make one: zeropoint train multi30k --out "
            f"{display_path(run)}"
        )
    last = open_checkpoint(checkpoint_of(run, which))
    if not last.blueprint.encoder:
        raise BadInput(
            f"{display_path(run)} is a run of a {last.blueprint.family} model, which does not translate"
        )
    opened = [last, *_before(run, last, n_averaged)]
    weights = average_weights(_weights(one) for one in opened) if len(opened) > 1 else _weights(last)
    model = cast(Seq2Seq, build(last.blueprint, seed=None))
    model.load_state_dict(weights)
    steps = f"step {last.step}" if len(opened) == 1 else f"mean of steps {opened[-1].step} to {last.step}"
    return Translator(f"{run.name}, {steps}", model.eval(), load_codec(last.tokenizer))


def _before(run: Path, last: RunCheckpoint, n_averaged: int) -> list[RunCheckpoint]:
    """The n_averaged - 1 checkpoints before the last, the newest first; untrained weights do not count."""
    steps = [step for step in reversed(steps_of(run)) if 0 < step < last.step]
    if not 1 <= n_averaged <= len(steps) + 1:
        raise BadInput(
            f"{n_averaged} checkpoints up to step {last.step} are to be averaged and {display_path(run)} has "
            f"{len(steps) + 1}; give 1 to {len(steps) + 1}, or train with a larger train.keep"
        )
    return [open_checkpoint(checkpoint_of(run, step)) for step in steps[: n_averaged - 1]]


def _weights(checkpoint: RunCheckpoint) -> Mapping[str, Tensor]:
    stored = checkpoint.stored
    return {name: torch.from_numpy(stored.array(name)) for name in stored.tensors}
