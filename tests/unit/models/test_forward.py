"""Invariants of every model: the same logits with or without a KV cache, alone or padded in a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.tiny_blueprints import DECODERS, ENCODERS, SEQ2SEQS
from zeropoint.blueprint import Blueprint
from zeropoint.errors import BadInput, ContextFull
from zeropoint.models.build import build
from zeropoint.models.decoder import Decoder

T = 12
every_decoder = pytest.mark.parametrize("blueprint", DECODERS.values(), ids=DECODERS)
every_seq2seq = pytest.mark.parametrize("blueprint", SEQ2SEQS.values(), ids=SEQ2SEQS)


def randomized(blueprint: Blueprint) -> Any:
    """A module with weights so large that every layer affects the output."""
    module = build(blueprint).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.3, generator=generator))
    return module


def some_ids(n_batch: int, n_tokens: int) -> Tensor:
    return torch.randint(0, 61, (n_batch, n_tokens), generator=torch.Generator().manual_seed(2))


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=2e-5)


@torch.no_grad()
@every_decoder
@pytest.mark.parametrize("chunks", [[1] * T, [5, 1, 6], [T]], ids=str)
def test_cached_and_uncached_logits_agree(blueprint: Blueprint, chunks: list[int]) -> None:
    module, ids = randomized(blueprint), some_ids(2, T)
    cache = module.new_cache(T)
    parts = [module(part, cache) for part in ids.split(chunks, dim=1)]
    assert_close(torch.cat(parts, 1), module(ids))


@torch.no_grad()
@every_decoder
def test_later_tokens_do_not_change_earlier_logits(blueprint: Blueprint) -> None:
    module, ids = randomized(blueprint), some_ids(1, T)
    longer = module(torch.cat([ids, ids], 1), n_positions=T)[:, :T]
    assert_close(longer, module(ids))


@torch.no_grad()
@every_decoder
@pytest.mark.parametrize("lengths", [[5, 1, 6], [T]], ids=str)
def test_documents_packed_into_a_row_are_independent(blueprint: Blueprint, lengths: list[int]) -> None:
    module, ids = randomized(blueprint), some_ids(2, T)
    document_BT = torch.repeat_interleave(torch.tensor(lengths))[None].expand(2, T)
    alone = [module(part, n_positions=T) for part in ids.split(lengths, dim=1)]
    assert_close(module(ids, document_BT=document_BT), torch.cat(alone, 1))
    with pytest.raises(BadInput, match="excludes a cache and padding"):
        module(ids, module.new_cache(T), document_BT=document_BT)


@torch.no_grad()
@every_decoder
def test_left_padding_does_not_change_logits(blueprint: Blueprint) -> None:
    module, ids, n_padding = randomized(blueprint), some_ids(1, T), 3
    other = some_ids(1, T + n_padding)
    padded = torch.cat([torch.cat([torch.full((1, n_padding), 7), ids], 1), other])
    mask = torch.ones_like(padded)
    mask[0, :n_padding] = 0
    logits = module(padded, mask_BT=mask)
    assert not logits.isnan().any()
    assert_close(logits[0, n_padding:], module(ids, n_positions=T + n_padding)[0])
    assert_close(logits[1], module(other)[0])
    cache = module.new_cache(T + n_padding)
    first = module(padded[:, :6], cache, mask[:, :6])
    rest = [module(padded[:, t : t + 1], cache) for t in range(6, T + n_padding)]
    assert_close(torch.cat([first, *rest], 1)[0, n_padding:], logits[0, n_padding:])


@torch.no_grad()
@every_decoder
def test_rollback_removes_tokens_from_the_cache(blueprint: Blueprint) -> None:
    module, ids = randomized(blueprint), some_ids(1, T)
    cache = module.new_cache(T)
    module(ids[:, :8], cache)
    module(some_ids(1, 4), cache)
    cache.rollback(4)
    assert_close(module(ids[:, 8:], cache), module(ids)[:, 8:])


@torch.no_grad()
@pytest.mark.parametrize("blueprint", ENCODERS.values(), ids=ENCODERS)
def test_right_padding_does_not_change_encoder_logits(blueprint: Blueprint) -> None:
    module, ids = randomized(blueprint), some_ids(1, T)
    padded = torch.cat([ids, torch.full((1, 3), 7)], 1)
    mask = torch.tensor([[1] * T + [0] * 3])
    assert_close(module(padded, mask)[:, :T], module(ids))
    types = torch.tensor([[0] * 5 + [1] * (T - 5)])
    assert not torch.allclose(module(ids, types_BT=types), module(ids))


@torch.no_grad()
@every_seq2seq
def test_cached_answers_of_an_encoder_decoder_agree(blueprint: Blueprint) -> None:
    module, source, target = randomized(blueprint), some_ids(2, 9), some_ids(2, T)
    expected = module(source, target)
    cache = module.new_cache(T)
    parts = [module(source, target[:, t : t + 1], cache) for t in range(T)]
    assert_close(torch.cat(parts, 1), expected)


@torch.no_grad()
@every_seq2seq
def test_source_padding_does_not_change_logits(blueprint: Blueprint) -> None:
    module, source, target = randomized(blueprint), some_ids(1, 9), some_ids(1, T)
    padded, mask = torch.cat([source, torch.full((1, 3), 7)], 1), torch.tensor([[1] * 9 + [0] * 3])
    assert_close(module(padded, target, None, mask), module(source, target))
    cache = module.new_cache(T)
    assert_close(module(padded, target[:, :5], cache, mask), module(source, target)[:, :5])
    assert_close(module(padded, target[:, 5:], cache, mask), module(source, target)[:, 5:])


@every_seq2seq
def test_logits_depend_on_the_source(blueprint: Blueprint) -> None:
    module, target = randomized(blueprint), some_ids(1, T)
    assert not torch.allclose(module(some_ids(1, 9), target), module(some_ids(1, 8), target), atol=1e-3)


def test_full_cache_raises_context_full() -> None:
    module = randomized(DECODERS["llama"])
    assert isinstance(module, Decoder)
    cache = module.new_cache(4)
    module(some_ids(1, 3), cache)
    with pytest.raises(ContextFull, match="5 tokens and the cache holds 4"):
        module(some_ids(1, 2), cache)
    assert cache.n_tokens == 3


@pytest.mark.parametrize("blueprint", [*DECODERS.values()], ids=DECODERS)
def test_every_parameter_gets_a_gradient(blueprint: Blueprint) -> None:
    module = randomized(blueprint)
    module(some_ids(4, T)).square().mean().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_model_without_a_head_returns_the_residual_stream() -> None:
    from dataclasses import replace

    module = build(replace(DECODERS["llama"], head=None))
    assert module(some_ids(1, 3)).shape == (1, 3, 32)
