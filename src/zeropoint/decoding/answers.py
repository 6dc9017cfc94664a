"""Answers to many sources at once: the greedy and the beam search of this folder, a batch a step.

A single sentence leaves a processor idle: reading the weights takes longer than multiplying one row by them.
Here every step is one pass for all answers that still grow, each with its cache; one that is done leaves the
batch. A test holds both to their one-by-one forms.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.decoding.beam import Beam, Found, Search
from zeropoint.errors import BadInput
from zeropoint.models.seq2seq import Seq2Seq

__all__ = ["Answering", "beam_answers", "greedy_answers"]


@dataclass(frozen=True)
class Answering:
    """begin: the token before every answer; stop_ids: those that end one. n_new: longest answer, in tokens.

    n_rows: sources in a batch; the sources are sorted by length before they are cut into such.
    """

    begin: int
    stop_ids: Collection[int]
    n_new: int = 100
    n_rows: int = 64


def greedy_answers(model: Seq2Seq, sources: Sequence[Sequence[int]], how: Answering) -> list[list[int]]:
    """The likeliest token, again and again, for each source: ids without the token that ends them."""
    answers: list[list[int]] = [[] for _ in sources]
    for numbers in _batches(sources, how.n_rows):
        reader = _Reader(model, [sources[i] for i in numbers])
        growing, tokens = numbers, [how.begin] * len(numbers)
        for _ in range(how.n_new):
            chosen = reader.logits(tokens).argmax(-1).tolist()
            kept = [row for row, token in enumerate(chosen) if token not in how.stop_ids]
            growing, tokens = [growing[row] for row in kept], [chosen[row] for row in kept]
            for number, token in zip(growing, tokens, strict=True):
                answers[number].append(token)
            if not growing:
                break
            reader.select(kept)
    return answers


def beam_answers(
    model: Seq2Seq, sources: Sequence[Sequence[int]], how: Answering, spec: Beam
) -> list[list[Found]]:
    """For each source its n_beams best answers, best first."""
    searches = [Search(spec, how.n_new, how.stop_ids) for _ in sources]
    for numbers in _batches(sources, how.n_rows):
        reader = _Reader(model, [sources[i] for i in numbers])
        growing, tokens = [searches[i] for i in numbers], [how.begin] * len(numbers)
        while growing:
            kept = _beam_step(growing, torch.log_softmax(reader.logits(tokens), dim=-1))
            growing = [search for search in growing if not search.is_over]
            tokens = [found.ids[-1] for search in growing for found in search.going]
            reader.select(kept)
    return [search.found() for search in searches]


def _beam_step(growing: Sequence[Search], logprobs_RV: Tensor) -> list[int]:
    """A token more for all beginnings of all searches; the rows that those going on follow, in order."""
    n_looked_at = min(growing[0].n_looked_at, logprobs_RV.shape[1])
    best_RK, ids_RK = (found.tolist() for found in logprobs_RV.topk(n_looked_at, dim=-1))
    kept, row = [], 0
    for search in growing:
        rows = slice(row, row + len(search.going))
        parents = search.step(ids_RK[rows], best_RK[rows])
        if not search.is_over:
            kept += [row + parent for parent in parents]
        row = rows.stop
    return kept


class _Reader:
    """A model that has read some sources, and reads a token for each of their answers."""

    def __init__(self, model: Seq2Seq, sources: Sequence[Sequence[int]]) -> None:
        if model.training:
            raise BadInput("the model is in training, where dropout makes answers random; call eval() first")
        self.model, self.device = model, model.embedding.weight.device
        longest = max(map(len, sources))
        # Which id fills up does not matter: nobody sees it.
        rows = [[*ids, *[0] * (longest - len(ids))] for ids in sources]
        is_token = [[True] * len(ids) + [False] * (longest - len(ids)) for ids in sources]
        self.source_BS = torch.tensor(rows, device=self.device)
        self.is_token_BS = torch.tensor(is_token, device=self.device)
        self.cache = model.new_cache()

    @torch.no_grad()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        """After each row's next token: float32 [R, V]. Raises ContextFull."""
        ids_R1 = torch.tensor(tokens, device=self.device)[:, None]
        logits_R1V: Tensor = self.model(self.source_BS, ids_R1, self.cache, self.is_token_BS)
        return logits_R1V[:, -1].float()

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        self.cache.select(torch.tensor(rows, dtype=torch.int64, device=self.device))


def _batches(sources: Sequence[Sequence[int]], n_rows: int) -> list[list[int]]:
    """The numbers of sources of about one length together."""
    if empty := [i for i, ids in enumerate(sources) if not len(ids)]:
        raise BadInput(f"source {empty[0]} has no token; give each at least one")
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    return [order[start : start + n_rows] for start in range(0, len(order), n_rows)]
