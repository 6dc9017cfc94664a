"""Translate with a trained encoder-decoder: sentences in, sentences out, with attention maps on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from zeropoint.data.pairs import encode_source, encode_target
from zeropoint.data.text_codec import TextCodec, load_codec
from zeropoint.decoding.batched import BatchOptions, batched_beam_search, batched_greedy
from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput
from zeropoint.files.paths import display_path
from zeropoint.models.build import build
from zeropoint.models.checkpoint_averaging import average_weights
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.models.trace import trace
from zeropoint.weights.run_checkpoint import (
    RunCheckpoint,
    checkpoint_path,
    checkpoint_steps,
    is_run,
    open_checkpoint,
)

__all__ = ["AttentionMap", "Translator", "open_translator"]

_MAX_NEW_TOKENS = 100


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Attention weights of one layer, [H, T, S]; each row sums to 1.

    kind: "encoder self", "decoder self" or "decoder source" (cross-attention). queries, keys: tokens as text.
    """

    kind: str
    layer: int
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    weights_HTS: Tensor


@dataclass(frozen=True, eq=False)
class Translator:
    """An encoder-decoder with its tokenizer. name: the run and the step, for messages."""

    name: str
    model: Seq2Seq
    codec: TextCodec

    def translate(self, texts: Sequence[str], beam: Beam | None = None) -> list[str]:
        """Translate all texts in batches, greedily or by beam search. An empty text stays empty.

        Raises BadInput for a text that is longer than the model's context.
        """
        return [self.codec.decode(ids) for ids in self.answers(texts, beam)]

    def n_source_tokens(self, texts: Sequence[str]) -> int:
        """The number of tokens that the encoder reads to translate these texts."""
        return sum(len(encode_source(self.codec, text)) for text in texts if text.strip())

    def answers(self, texts: Sequence[str], beam: Beam | None = None) -> list[list[int]]:
        """The token ids of each translation, without begin and end tokens. Raises BadInput as above."""
        n_ctx, (begin, end) = self.model.blueprint.n_ctx, self._begin_and_end
        nonempty = [text for text in texts if text.strip()]
        sources = [encode_source(self.codec, text) for text in nonempty]
        for text, ids in zip(nonempty, sources, strict=True):
            if len(ids) > n_ctx:
                raise BadInput(
                    f"the text {text!r:.60} has {len(ids)} tokens, but the model's context is {n_ctx}; "
                    "translate one sentence at a time"
                )
        options = BatchOptions(begin, {end}, min(_MAX_NEW_TOKENS, n_ctx - 1))
        if beam is None:
            answers = iter(batched_greedy(self.model, sources, options))
        else:
            answers = (list(best[0].ids) for best in batched_beam_search(self.model, sources, options, beam))
        return [next(answers) if text.strip() else [] for text in texts]

    def attention(self, text: str, answer: Sequence[int]) -> list[AttentionMap]:
        """The attention of every layer for a text and its translation, cross-attention included."""
        source, target = encode_source(self.codec, text), [self._begin_and_end[0], *answer]
        keys, queries = (*self._tokens(source[:-1]), "</s>"), ("<s>", *self._tokens(answer))
        kinds = (
            ("encoder self", "encoder.{}.attention.weights", keys, keys),
            ("decoder self", "blocks.{}.attention.weights", queries, queries),
            ("decoder source", "blocks.{}.cross_attention.weights", queries, keys),
        )
        b = self.model.blueprint
        layers = [range(len(b.encoder)), range(b.n_layers), range(b.n_layers)]
        points = [point.format(i) for (_, point, *_), n in zip(kinds, layers, strict=True) for i in n]
        recorded = trace(self.model, target, source, points=points)
        return [
            AttentionMap(kind, i, rows, columns, recorded[point.format(i)])
            for (kind, point, rows, columns), n in zip(kinds, layers, strict=True)
            for i in n
        ]

    @property
    def _begin_and_end(self) -> tuple[int, int]:
        begin, end = encode_target(self.codec, "")
        return begin, end

    def _tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.codec.decode([index]).strip() or "␣" for index in ids]


def open_translator(run: Path, which: str | int = "best", n_averaged: int = 1) -> Translator:
    """Open a checkpoint of a translation run: "best", "latest" or a step.

    n_averaged: average the weights of that checkpoint and the ones before it, this many in total.
    Raises BadInput for a folder that is not a translation run, BadModelFile for a damaged checkpoint,
    DiskError.
    """
    path = display_path(run)
    if not is_run(run):
        raise BadInput(f"{path} is not a training run; train one: zeropoint train multi30k --out {path}")
    last = open_checkpoint(checkpoint_path(run, which))
    if not last.blueprint.encoder:
        raise BadInput(
            f"{path} is a {last.blueprint.family} model without an encoder, which cannot translate; train "
            "one with `zeropoint train multi30k`"
        )
    checkpoints = [last, *_previous(run, last, n_averaged)]
    weights = average_weights(map(_weights, checkpoints)) if len(checkpoints) > 1 else _weights(last)
    model = cast(Seq2Seq, build(last.blueprint, seed=None))
    model.load_state_dict(weights)
    first, final = checkpoints[-1].step, last.step
    steps = f"step {final}" if len(checkpoints) == 1 else f"mean of steps {first} to {final}"
    return Translator(f"{run.name}, {steps}", model.eval(), load_codec(last.tokenizer))


def _previous(run: Path, last: RunCheckpoint, n_averaged: int) -> list[RunCheckpoint]:
    """The n_averaged - 1 checkpoints before the last, newest first, without the untrained one of step 0."""
    steps = [step for step in reversed(checkpoint_steps(run)) if 0 < step < last.step]
    n = len(steps) + 1
    if not 1 <= n_averaged <= n:
        raise BadInput(
            f"cannot average {n_averaged} checkpoints: {display_path(run)} has {n} up to step {last.step}; "
            f"give 1 to {n}, or train with a larger train.max_checkpoints"
        )
    return [open_checkpoint(checkpoint_path(run, step)) for step in steps[: n_averaged - 1]]


def _weights(checkpoint: RunCheckpoint) -> Mapping[str, Tensor]:
    stored = checkpoint.stored
    return {name: torch.from_numpy(stored.array(name)) for name in stored.tensors}
