"""Who sees whom."""

from __future__ import annotations

import torch

from zeropoint.layers.mask import additive, attention_mask, causal, distances, padding, within


def test_causal_is_a_lower_triangle() -> None:
    assert causal(distances(3, 3)).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_queries_are_the_last_of_the_positions() -> None:
    assert distances(2, 4).tolist() == [[2, 1, 0, -1], [3, 2, 1, 0]]


def test_a_window_counts_the_token_itself() -> None:
    table = causal(distances(4, 4)) & within(distances(4, 4), 2)
    assert table.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]


def test_nobody_sees_padding_but_itself() -> None:
    table = padding(distances(3, 3), torch.tensor([[False, True, True]]))
    assert table[0, 0].int().tolist() == [[1, 1, 1], [0, 1, 1], [0, 1, 1]]


def test_documents_of_a_row_do_not_see_each_other() -> None:
    document_BT = torch.tensor([[0, 0, 1, 1], [3, 3, 3, 3]])
    mask = attention_mask(4, 4, is_causal=True, document_BT=document_BT)
    assert mask is not None
    assert (mask[0, 0] == 0).int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert torch.equal(mask[1:], attention_mask(4, 4, is_causal=True))


def test_additive_leaves_what_is_seen() -> None:
    assert additive(torch.tensor([True, False])).tolist() == [0.0, -torch.inf]


def test_nothing_to_hide_is_no_mask() -> None:
    assert attention_mask(1, 9, is_causal=True) is None
    assert attention_mask(4, 4, is_causal=False, window=4) is None
    bias_HTS = torch.randn(2, 1, 9)
    got = attention_mask(1, 9, is_causal=True, bias_HTS=bias_HTS)
    assert got is not None
    assert torch.equal(got[0], bias_HTS)


def test_every_row_sees_something() -> None:
    is_token_BS = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0]]).bool()
    mask = attention_mask(4, 4, is_causal=True, window=1, is_token_BS=is_token_BS)
    assert mask is not None
    assert mask.isfinite().any(-1).all()
