"""Attention masks: which keys each query may attend to."""

from __future__ import annotations

import torch

from zeropoint.layers.mask import (
    additive,
    as_additive,
    attention_mask,
    causal,
    distances,
    not_padding,
    within_window,
)


def test_causal_mask_is_lower_triangular() -> None:
    assert causal(distances(3, 3)).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_queries_are_the_last_positions() -> None:
    assert distances(2, 4).tolist() == [[2, 1, 0, -1], [3, 2, 1, 0]]


def test_window_includes_the_token_itself() -> None:
    table = causal(distances(4, 4)) & within_window(distances(4, 4), 2)
    assert table.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_only_padding_attends_to_itself_among_padding() -> None:
    table = not_padding(distances(3, 3), torch.tensor([[False, True, True]]))
    assert table[0, 0].int().tolist() == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]


def test_documents_in_a_row_do_not_attend_to_each_other() -> None:
    document_BT = torch.tensor([[0, 0, 1, 1], [3, 3, 3, 3]])
    mask = attention_mask(4, 4, is_causal=True, document_BT=document_BT)
    assert mask is not None
    assert (mask[0, 0] == 0).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert torch.equal(mask[1:], attention_mask(4, 4, is_causal=True))


def test_additive_mask_is_zero_or_minus_infinity() -> None:
    may_attend = torch.tensor([True, False])
    assert additive(may_attend).tolist() == [0.0, -torch.inf]
    assert torch.equal(as_additive(may_attend), additive(may_attend))
    bias = torch.tensor([0.5, -1.0])
    assert as_additive(bias) is bias
    assert as_additive(None) is None


def test_nothing_to_mask_gives_no_mask() -> None:
    assert attention_mask(1, 9, is_causal=True) is None
    assert attention_mask(4, 4, is_causal=False, window=4) is None
    score_bias_HTS = torch.randn(2, 1, 9)
    mask = attention_mask(1, 9, is_causal=True, score_bias_HTS=score_bias_HTS)
    assert mask is not None
    assert torch.equal(mask[0], score_bias_HTS)


def test_every_query_attends_to_something() -> None:
    padding_mask_BS = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]]).bool()
    mask = attention_mask(4, 4, is_causal=True, window=1, padding_mask_BS=padding_mask_BS)
    assert mask is not None
    assert mask.isfinite().any(-1).all()
