"""Greedy decoding and beam search for many sources at once, with one forward pass per step.

A single sentence leaves a processor idle: reading the weights takes longer than multiplying one row by them.
Here every forward pass extends all answers of a batch, which share a KV cache; finished answers leave the
batch. A test compares both searches with their one-by-one versions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.decoding.beam import Beam, BeamSearch, Hypothesis
from zeropoint.errors import BadInput
from zeropoint.models.seq2seq import Seq2Seq

__all__ = ["BatchOptions", "batched_beam_search", "batched_greedy"]


@dataclass(frozen=True)
class BatchOptions:
    """start_id: the token before every answer. stop_ids: tokens that end one. max_tokens: longest answer.

    batch_size: sources per batch; sources are sorted by length first, so that a batch needs little padding.
    """

    start_id: int
    stop_ids: Collection[int]
    max_tokens: int = 100
    batch_size: int = 64


def batched_greedy(
    model: Seq2Seq, sources: Sequence[Sequence[int]], options: BatchOptions
) -> list[list[int]]:
    """The greedy answer to each source, in order: token ids without the stop token. Raises BadInput."""
    answers: list[list[int]] = [[] for _ in sources]
    for indices in _batches(sources, options.batch_size):
        decoder = _BatchDecoder(model, [sources[i] for i in indices])
        active, tokens = indices, [options.start_id] * len(indices)
        for _ in range(options.max_tokens):
            next_tokens = decoder.logits(tokens).argmax(-1).tolist()
            rows = [row for row, token in enumerate(next_tokens) if token not in options.stop_ids]
            active, tokens = [active[row] for row in rows], [next_tokens[row] for row in rows]
            for index, token in zip(active, tokens, strict=True):
                answers[index].append(token)
            if not active:
                break
            decoder.select(rows)
    return answers


def batched_beam_search(
    model: Seq2Seq, sources: Sequence[Sequence[int]], options: BatchOptions, spec: Beam
) -> list[list[Hypothesis]]:
    """For each source its n_beams best answers, best first. Raises BadInput."""
    searches = [BeamSearch(spec, options.max_tokens, options.stop_ids) for _ in sources]
    for indices in _batches(sources, options.batch_size):
        decoder = _BatchDecoder(model, [sources[i] for i in indices])
        active, tokens = [searches[i] for i in indices], [options.start_id] * len(indices)
        while active:
            rows = _beam_step(active, torch.log_softmax(decoder.logits(tokens), dim=-1))
            active = [search for search in active if not search.is_done]
            tokens = [hypothesis.ids[-1] for search in active for hypothesis in search.active]
            decoder.select(rows)
    return [search.best() for search in searches]


def _beam_step(searches: Sequence[BeamSearch], logprobs_RV: Tensor) -> list[int]:
    """Advance every search by one token; return the batch rows that unfinished searches continue."""
    n_candidates = min(searches[0].n_candidates, logprobs_RV.shape[1])
    top_RK, ids_RK = (column.tolist() for column in logprobs_RV.topk(n_candidates, dim=-1))
    continued, row = [], 0
    for search in searches:
        rows = slice(row, row + len(search.active))
        parents = search.step(ids_RK[rows], top_RK[rows])
        if not search.is_done:
            continued += [row + parent for parent in parents]
        row = rows.stop
    return continued


class _BatchDecoder:
    """A batch of encoded sources with the KV cache of their answers."""

    def __init__(self, model: Seq2Seq, sources: Sequence[Sequence[int]]) -> None:
        if model.training:
            raise BadInput(
                "the model is in training mode, where dropout makes answers random; call eval() first"
            )
        self.model, self.device = model, model.embedding.weight.device
        longest = max(map(len, sources))
        # Any id can pad, because no token attends to padding.
        rows = [[*ids, *[0] * (longest - len(ids))] for ids in sources]
        mask = [[True] * len(ids) + [False] * (longest - len(ids)) for ids in sources]
        self.source_BS = torch.tensor(rows, device=self.device)
        self.padding_mask_BS = torch.tensor(mask, device=self.device)
        self.cache = model.new_cache()

    @torch.no_grad()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        """Logits after each row's next token: float32 [R, V]. Raises ContextFull."""
        ids_R1 = torch.tensor(tokens, device=self.device)[:, None]
        logits_R1V: Tensor = self.model(self.source_BS, ids_R1, self.cache, self.padding_mask_BS)
        return logits_R1V[:, -1].float()

    def select(self, rows: Sequence[int]) -> None:
        """Reorder the batch: keep these rows, in this order."""
        self.cache.select(torch.tensor(rows, dtype=torch.int64, device=self.device))


def _batches(sources: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Indices of the sources in batches of similar length."""
    if batch_size < 1:
        raise BadInput(f"batch_size is {batch_size}; expected 1 or more")
    if empty := [i for i, ids in enumerate(sources) if not len(ids)]:
        raise BadInput(f"source {empty[0]} has no token; give each source at least one")
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
