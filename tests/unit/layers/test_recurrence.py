"""GRU against torch's, alignment scores against their formulas, and the inverse of reversible blocks."""

from __future__ import annotations

import torch
from torch import nn

from zeropoint.layers.depth.reversible import Reversible
from zeropoint.layers.recurrence.alignment import Additive, Dot, General, align
from zeropoint.layers.recurrence.gru import GRU, GRUCell


def test_gru_cell_equals_torch() -> None:
    cell, torch_cell = GRUCell(3, 5), nn.GRUCell(3, 5)
    cell.input.weight, cell.input.bias = torch_cell.weight_ih, torch_cell.bias_ih
    cell.state.weight, cell.state.bias = torch_cell.weight_hh, torch_cell.bias_hh
    x, state = torch.randn(4, 3), torch.randn(4, 5)
    torch.testing.assert_close(cell(x, state), torch_cell(x, state))


def test_both_directions_of_the_gru_equal_torch() -> None:
    torch_gru = nn.GRU(3, 5, batch_first=True, bidirectional=True)
    x = torch.randn(2, 6, 3)
    expected, _ = torch_gru(x)
    for is_backward, suffix, part in ((False, "", expected[..., :5]), (True, "_reverse", expected[..., 5:])):
        gru = GRU(3, 5, is_backward)
        gru.cell.input.weight = getattr(torch_gru, f"weight_ih_l0{suffix}")
        gru.cell.input.bias = getattr(torch_gru, f"bias_ih_l0{suffix}")
        gru.cell.state.weight = getattr(torch_gru, f"weight_hh_l0{suffix}")
        gru.cell.state.bias = getattr(torch_gru, f"bias_hh_l0{suffix}")
        torch.testing.assert_close(gru(x), part)


def test_padding_leaves_the_state_unchanged() -> None:
    x, padding_mask = torch.randn(1, 5, 3), torch.tensor([[True, True, True, False, False]])
    for is_backward in (False, True):
        gru = GRU(3, 4, is_backward)
        padded, short = gru(x, padding_mask), gru(x[:, :3])
        torch.testing.assert_close(padded[:, :3], short)


def test_alignment_scores_follow_their_formulas() -> None:
    state, memory = torch.randn(2, 3), torch.randn(2, 4, 3)
    torch.testing.assert_close(Dot()(state, memory), (memory @ state[..., None]).squeeze(-1))
    general = General(3, 3)
    torch.testing.assert_close(general(state, memory), Dot()(state, memory @ general.memory.weight.T))
    additive = Additive(3, 3, 7)
    score = additive.score(torch.tanh(additive.state(state[0]) + additive.memory(memory[0, 2])))
    torch.testing.assert_close(additive(state, memory)[0, 2], score[0])


def test_alignment_weights_sum_to_one_and_exclude_padding() -> None:
    weights, context = align(
        torch.zeros(1, 3), torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])
    )
    assert weights.tolist() == [[0.5, 0.5, 0.0]]
    assert context.item() == 2


def test_reversible_block_recovers_its_inputs() -> None:
    block = Reversible(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.Tanh()))
    x1, x2 = torch.randn(2, 4, 8)
    y1, y2 = block(x1, x2)
    assert not torch.allclose(x1, y1)
    for recovered, original in zip(block.inverse(y1, y2), (x1, x2), strict=True):
        torch.testing.assert_close(recovered, original, atol=1e-5, rtol=0)
