"""Objectives against their formulas in numpy, and on the training loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zeropoint.data.batches import IGNORED, Shuffled
from zeropoint.models.decoder import Decoder
from zeropoint.train.loop.loop import train
from zeropoint.tune.adapters.lora import Lora
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective
from zeropoint.tune.objectives.dpo import Dpo
from zeropoint.tune.objectives.ipo import Ipo
from zeropoint.tune.objectives.kto import Kto
from zeropoint.tune.objectives.orpo import Orpo
from zeropoint.tune.objectives.reward import Reward, RewardModel
from zeropoint.tune.objectives.sft import SupervisedFineTuning
from zeropoint.tune.objectives.simpo import Simpo

C, R = (-3.0, 4), (-5.0, 2)  # (log-probability, tokens) of the chosen and the rejected answer
REFERENCE = torch.tensor([[-4.0, -4.5]])


class Fixed(nn.Module):
    """Gives two answers the log-probabilities above: every target costs the same."""

    def forward(self, ids_BT: Tensor) -> Tensor:
        each = torch.tensor([C[0] / C[1], R[0] / R[1]])
        logits = torch.zeros(2, ids_BT.shape[1], 2)
        logits[:, :, 0] = torch.log(torch.exp(each) / (1 - torch.exp(each)))[:, None]
        return logits


def targets() -> Tensor:
    target = torch.full((1, 2, 5), IGNORED)
    target[0, 0, :4] = 0
    target[0, 1, :2] = 0
    return target


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


H = (C[0] - REFERENCE[0, 0].item()) - (R[0] - REFERENCE[0, 1].item())  # the margin of DPO: 1.5
MEANS = (C[0] / C[1], R[0] / R[1])
ODDS = [m - math.log(1 - math.exp(m)) for m in MEANS]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (Dpo(beta=0.5), -math.log(sigmoid(0.5 * H))),
        (Dpo(0.5, 0.2), -0.8 * math.log(sigmoid(0.5 * H)) - 0.2 * math.log(sigmoid(-0.5 * H))),
        (Ipo(beta=0.5), (H - 1) ** 2),
        (Orpo(weight=0.3), -MEANS[0] - 0.3 * math.log(sigmoid(ODDS[0] - ODDS[1]))),
        (Simpo(2.0, 0.5), -math.log(sigmoid(2 * (MEANS[0] - MEANS[1]) - 0.5))),
    ],
)
def test_losses_of_pairs(objective: TuningObjective, expected: float) -> None:
    ids = torch.zeros(1, 2, 5, dtype=torch.int64)
    assert float(objective(Fixed(), ids, targets(), REFERENCE)) == pytest.approx(expected, rel=1e-5)
    assert objective.n_targets(ids, targets(), REFERENCE) == 1


@pytest.mark.parametrize("is_good", [True, False])
def test_kto(is_good: bool) -> None:
    ids = torch.zeros(1, 2, 5, dtype=torch.int64)
    loss = Kto(0.5, 1.0, 2.0)(Fixed(), ids, targets(), REFERENCE, torch.tensor([is_good]))
    z = max(0.0, R[0] - REFERENCE[0, 1].item())
    ratio = C[0] - REFERENCE[0, 0].item()
    expected = 1 - sigmoid(0.5 * (ratio - z)) if is_good else 2 * (1 - sigmoid(0.5 * (z - ratio)))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_of_dpo_is_the_one_of_the_paper(model: Decoder) -> None:
    """Rafailov et al., section 4: -beta sigmoid(-margin) (grad log p(chosen) - grad log p(rejected))."""
    ids, target = pairs()
    reference = torch.zeros(1, 2)
    Dpo(0.3)(model, ids, target, reference).backward()
    weight = model.get_parameter("blocks.0.ffn.down.weight")
    found = weight.grad
    sums, _ = pair_logprobs(model, ids, target)
    margin = sums[0, 0] - sums[0, 1]
    (slope,) = torch.autograd.grad(margin, weight)
    assert found is not None
    assert torch.allclose(found, -0.3 * torch.sigmoid(-0.3 * margin.detach()) * slope, atol=1e-6)


def pairs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(0, 61, (1, 2, 6), generator=generator)
    ids[:, 1, :3] = ids[:, 0, :3]
    target = ids.roll(-1, dims=2)
    target[:, :, :2], target[:, :, 5:] = IGNORED, IGNORED
    return ids, target


@pytest.mark.train
@pytest.mark.parametrize(
    "objective", [Dpo(0.5), Ipo(0.5), Orpo(1.0), Simpo()], ids=lambda o: type(o).__name__
)
def test_training_prefers_the_chosen_answer(objective: TuningObjective, model: Decoder) -> None:
    ids, target = pairs()
    with torch.no_grad():
        before = pair_logprobs(model, ids, target)[0]
    spec = Lora(rank=4)
    spec.attach(model)
    optimizer = torch.optim.AdamW(spec.parameter_groups(model, 5e-3), weight_decay=0.0)
    columns = (ids.numpy(), target.numpy(), before.numpy())
    train(model, Shuffled(columns, 1, 0), objective, optimizer, n_steps=12)
    with torch.no_grad():
        after = pair_logprobs(model.eval(), ids, target)[0]
    assert float(after[0, 0] - after[0, 1]) > float(before[0, 0] - before[0, 1]) + 0.5


@pytest.mark.train
def test_a_reward_model_learns_to_rank(model: Decoder) -> None:
    ids, target = pairs()
    Lora(rank=4).attach(model)
    reward = RewardModel(model)
    assert Reward()(reward, ids, target).item() == pytest.approx(math.log(2))  # it knows nothing yet
    parameters = [p for p in reward.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
    columns = (ids.numpy(), target.numpy(), np.zeros((1, 2), np.float32))
    train(reward, Shuffled(columns, 1, 0), Reward(), optimizer, n_steps=10)
    scores = reward.eval()(ids[0], target[0])
    assert scores[0] > scores[1]


def test_a_reward_is_read_at_the_end_of_the_answer(model: Decoder) -> None:
    ids, target = pairs()
    reward = RewardModel(model)
    nn.init.ones_(reward.value.weight)
    changed = ids.clone()
    changed[:, :, 5] = (changed[:, :, 5] + 1) % 61  # after the last position that predicts a target
    assert torch.equal(reward(ids[0], target[0]), reward(changed[0], target[0]))


def test_sft_ignores_prompts_and_other_documents(model: Decoder) -> None:
    ids, target = pairs()
    alone = SupervisedFineTuning()(model, ids[0, :1], target[0, :1])
    row = torch.cat([ids[0, 1:], ids[0, :1]], dim=1)
    targets_of_second = torch.cat([torch.full((1, 6), IGNORED), target[0, :1]], dim=1)
    document = torch.tensor([[0] * 6 + [1] * 6])
    packed = SupervisedFineTuning()(model, row, targets_of_second, document)
    assert packed.item() == pytest.approx(alone.item(), rel=1e-5)
    assert SupervisedFineTuning().n_targets(row, targets_of_second, document) == 3
