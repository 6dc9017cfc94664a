"""GRU against torch's, alignment scores against their formulas, and blocks that run backwards."""

from __future__ import annotations

import torch
from torch import nn

from zeropoint.layers.depth.reversible import Reversible
from zeropoint.layers.recurrence.alignment import Additive, Dot, General, align
from zeropoint.layers.recurrence.gru import GRU, GRUCell


def test_the_cell_is_torch_s() -> None:
    ours, theirs = GRUCell(3, 5), nn.GRUCell(3, 5)
    ours.input.weight, ours.input.bias = theirs.weight_ih, theirs.bias_ih
    ours.state.weight, ours.state.bias = theirs.weight_hh, theirs.bias_hh
    x, state = torch.randn(4, 3), torch.randn(4, 5)
    torch.testing.assert_close(ours(x, state), theirs(x, state))


def test_both_directions_are_torch_s() -> None:
    theirs = nn.GRU(3, 5, batch_first=True, bidirectional=True)
    x = torch.randn(2, 6, 3)
    wanted, _ = theirs(x)
    for is_backward, suffix, part in ((False, "", wanted[..., :5]), (True, "_reverse", wanted[..., 5:])):
        ours = GRU(3, 5, is_backward)
        ours.cell.input.weight = getattr(theirs, f"weight_ih_l0{suffix}")
        ours.cell.input.bias = getattr(theirs, f"bias_ih_l0{suffix}")
        ours.cell.state.weight = getattr(theirs, f"weight_hh_l0{suffix}")
        ours.cell.state.bias = getattr(theirs, f"bias_hh_l0{suffix}")
        torch.testing.assert_close(ours(x), part)


def test_padding_leaves_the_state_alone() -> None:
    x, is_token = torch.randn(1, 5, 3), torch.tensor([[True, True, True, False, False]])
    for is_backward in (False, True):
        gru = GRU(3, 4, is_backward)
        padded, short = gru(x, is_token), gru(x[:, :3])
        torch.testing.assert_close(padded[:, :3], short)


def test_scores_are_their_formulas() -> None:
    state, memory = torch.randn(2, 3), torch.randn(2, 4, 3)
    torch.testing.assert_close(Dot()(state, memory), (memory @ state[..., None]).squeeze(-1))
    general = General(3, 3)
    torch.testing.assert_close(general(state, memory), Dot()(state, memory @ general.memory.weight.T))
    additive = Additive(3, 3, 7)
    one = additive.score(torch.tanh(additive.state(state[0]) + additive.memory(memory[0, 2])))
    torch.testing.assert_close(additive(state, memory)[0, 2], one[0])


def test_weights_sum_to_one_and_leave_padding_out() -> None:
    weights, mix = align(
        torch.zeros(1, 3), torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])
    )
    assert weights.tolist() == [[0.5, 0.5, 0.0]]
    assert mix.item() == 2


def test_a_reversible_block_gives_its_inputs_back() -> None:
    block = Reversible(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.Tanh()))
    x1, x2 = torch.randn(2, 4, 8)
    y1, y2 = block(x1, x2)
    assert not torch.allclose(x1, y1)
    for ours, wanted in zip(block.inverse(y1, y2), (x1, x2), strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)
