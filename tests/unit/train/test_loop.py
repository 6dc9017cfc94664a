"""The training loop: steps, gradient accumulation, clipping, evaluation and failures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.support.listed import Listed
from zeropoint.data.batches import IGNORED
from zeropoint.train.loop.gradients import NotFinite
from zeropoint.train.loop.loop import StepResult, evaluate_loss, train
from zeropoint.train.objectives.next_token import NextToken


def line() -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    return model


def squared(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return ((model(x) - x) ** 2).mean()


def sgd(model: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=lr)


ONES = Listed([(torch.ones(2, 1),)])


def test_the_schedule_multiplies_the_rate_and_every_step_is_reported() -> None:
    model, steps = line(), list[StepResult]()
    n = train(
        model,
        ONES,
        squared,
        sgd(model, 0.5),
        n_steps=3,
        schedule=lambda step: 0.5,
        after_step=steps.append,
    )
    assert n == 3
    assert [result.step for result in steps] == [1, 2, 3]
    assert [result.loss for result in steps] == pytest.approx([1, 0.25, 0.0625])
    assert steps[0].learning_rate == 0.25


def test_gradient_accumulation_equals_the_full_batch() -> None:
    large, small = line(), line()
    batches = Listed([(torch.arange(1.0, 6.0)[:, None],)])  # five rows, so micro-batches differ in size
    train(large, batches, squared, sgd(large, 0.01), n_steps=1)
    train(small, batches, squared, sgd(small, 0.01), n_steps=1, accumulation_steps=2)
    assert small.weight.item() == pytest.approx(large.weight.item())


class NonzeroMean:
    """The mean over nonzero inputs."""

    def __call__(self, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return ((model(x) - x) ** 2).sum() / max(1, self.n_targets(x))

    def n_targets(self, x: torch.Tensor) -> int:
        return int((x != 0).sum())


def test_micro_batches_are_weighted_by_their_targets() -> None:
    """The loss is a mean over targets, so a micro-batch with fewer of them counts less."""
    large, small = line(), line()
    batches = Listed([(torch.tensor([[1.0, 0.0], [2.0, 3.0]])[..., None],)])
    train(large, batches, NonzeroMean(), sgd(large, 0.01), n_steps=1)
    train(small, batches, NonzeroMean(), sgd(small, 0.01), n_steps=1, accumulation_steps=2)
    assert small.weight.item() == pytest.approx(large.weight.item())


@pytest.mark.parametrize("n_parts", [2, 3, 4, 6])
def test_a_step_uses_the_mean_over_all_targets(n_parts: int) -> None:
    """Targets are spread unequally over the micro-batches, and one row has none."""
    torch.manual_seed(0)
    first = nn.Embedding(11, 11).weight.detach()
    ids, target = torch.randint(0, 11, (2, 6, 8))
    for row, n_targets in enumerate((8, 1, 0, 3, 1, 2)):
        target[row, n_targets:] = IGNORED
    is_target = target != IGNORED
    losses = nn.functional.cross_entropy(first[ids[is_target]], target[is_target], reduction="none")
    assert len(losses) == 15
    weights, steps = [], list[StepResult]()
    for accumulation_steps in (1, n_parts):
        model = nn.Embedding.from_pretrained(first.clone(), freeze=False)
        train(
            model,
            Listed([(ids, target)]),
            NextToken(),
            sgd(model, 1.0),
            n_steps=1,
            accumulation_steps=accumulation_steps,
            after_step=steps.append,
        )
        weights.append(model.weight.detach())
    assert [result.loss for result in steps] == pytest.approx([losses.mean().item()] * 2)
    torch.testing.assert_close(weights[1], weights[0])
    assert not torch.equal(weights[0], first)


def test_evaluation_is_the_mean_over_all_targets() -> None:
    parts = [torch.tensor(rows)[..., None] for rows in ([[1.0, 2.0, 3.0]], [[4.0, 0.0, 0.0]], [[0.0] * 3])]
    assert evaluate_loss(line(), Listed([(part,) for part in parts]), NonzeroMean(), 3) == pytest.approx(7.5)
    assert evaluate_loss(line(), Listed([(parts[2],)]), NonzeroMean(), 1) == 0


def test_gradients_are_clipped() -> None:
    model = line()
    train(model, ONES, squared, sgd(model, 1.0), n_steps=2, max_grad_norm=1e-3)
    assert 0 < model.weight.item() <= 2.1e-3


def test_a_nan_loss_stops_training_before_the_weights_change() -> None:
    model = nn.Sequential(line(), nn.Linear(1, 1, bias=False))
    before = [p.detach().clone() for p in model.parameters()]
    batches = Listed([(torch.ones(2, 1),), (torch.tensor([[1.0], [math.inf]]),)])
    with pytest.raises(NotFinite, match=r"^step 2: the loss is NaN or infinite, first in the output of 0"):
        train(model, batches, squared, sgd(model, 0.0), n_steps=5)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is not None for p in model.parameters())


def test_steps_are_deterministic_and_the_setting_is_restored() -> None:
    """Without the setting, embedding gradients compiled for several threads would vary."""
    seen = []

    def objective(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return squared(model, x)

    train(model := line(), ONES, objective, sgd(model, 0.5), n_steps=2)
    assert seen == [True, True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_dropout_depends_on_the_seed_and_the_step_only() -> None:
    def losses(first: int, n_steps: int, seed: int) -> list[float]:
        found: list[float] = []
        model = nn.Dropout(0.5)
        model.weight = nn.Parameter(torch.ones(()))

        def objective(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
            return (model(x) * model.weight).mean()

        batches = Listed([(torch.ones(64, 1),)])
        train(
            model,
            batches,
            objective,
            sgd(model, 0.0),
            n_steps=n_steps,
            first_step=first,
            seed=seed,
            after_step=lambda done: found.append(done.loss),
        )
        return found

    state = torch.get_rng_state()
    whole = losses(0, 4, 7)
    assert torch.equal(state, torch.get_rng_state())  # the caller's generator is untouched
    assert losses(2, 4, 7) == whole[2:]
    assert losses(0, 4, 8) != whole
    assert len(set(whole)) > 1


def test_bfloat16_products_leave_weights_in_float32() -> None:
    model = line()
    train(model, ONES, squared, sgd(model, 0.1), n_steps=1, dtype=torch.bfloat16)
    assert model.weight.dtype == torch.float32
    assert math.isfinite(model.weight.item())
