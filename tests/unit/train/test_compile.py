"""torch.compile: which runs use it, and that it computes the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from zeropoint.errors import MachineError
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.loop import compile
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss
from zeropoint.train.run.build_model import blueprint_of, build_model

CPU = torch.device("cpu")


def long_run() -> RunConfig:
    return read_config("shakespeare-char", ["train.steps=1000000"])


def model_of(config: RunConfig) -> torch.nn.Module:
    return build_model(config, blueprint_of(config.model, 65), CPU)


def test_only_long_runs_are_worth_compiling():
    config = long_run()
    model = model_of(config)
    assert compile.is_worth_compiling(config, model, CPU)
    assert not compile.is_worth_compiling(read_config("shakespeare-char"), model, CPU)
    assert not compile.is_worth_compiling(config, model, CPU, n_workers=2)
    assert not compile.is_worth_compiling(replace(config, objective=Seq2SeqLoss()), model, CPU)


def test_compilation_turned_off_or_without_a_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    config = long_run()
    model = model_of(config)
    assert compile.compile_objective(config, model, CPU) is config.objective
    never = read_config("shakespeare-char", ["train.compile=never"])
    assert compile.compile_objective(never, model, CPU) is never.objective
    always = read_config("shakespeare-char", ["train.compile=always"])
    with pytest.raises(MachineError, match=r"train\.compile"):
        compile.compile_objective(always, model, CPU)


@pytest.mark.train
@pytest.mark.parametrize("recipe", ["shakespeare-char", "shakespeare-char-fast"])
def test_compiled_objective_is_the_objective(recipe):
    """Traced as one graph but run eagerly: the same loss and gradients."""
    config = read_config(recipe)
    blueprint = blueprint_of(config.model, 65)
    model = build_model(config, replace(blueprint, blocks=blueprint.blocks[:1]), CPU)
    fast = compile.CompiledObjective(config.objective, backend="aot_eager")
    ids = torch.arange(16).view(2, 8)
    weight = model.embedding.weight
    documents = torch.arange(16).view(2, 8) // 5
    losses, gradients = [], []
    for objective in (fast, config.objective):
        model.zero_grad()
        loss = objective(model, ids, ids) + objective(model, ids, ids, documents)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(weight.grad.clone())
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert fast.n_targets(ids, ids, documents) == 16


@pytest.mark.train
def test_compiled_dropout_follows_the_seed():
    dropouts = ["model.dropout=0.2", "model.attention_dropout=0.2"]
    config = read_config("shakespeare-char", [*dropouts, "model.n_layers=1", "model.n_ctx=8"])
    model = model_of(config)
    fast = compile.CompiledObjective(config.objective, backend="aot_eager")
    ids = torch.arange(16).view(2, 8)
    losses = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        losses.append(fast(model, ids, ids).item())
    assert losses[0] == losses[2] != losses[1]


def test_a_failing_compilation_falls_back_or_is_an_error():
    def objective(model, ids):
        torch._dynamo.graph_break()
        return model(ids).sum()

    model = torch.nn.Linear(2, 1)
    ids = torch.ones(1, 2)
    loss = compile.CompiledObjective(objective, "aot_eager", is_required=False)(model, ids)
    torch.testing.assert_close(loss, model(ids).sum())
    with pytest.raises(MachineError, match=r"torch\.compile failed .*never"):
        compile.CompiledObjective(objective, "aot_eager")(model, ids)


def test_the_fast_recipe_has_no_more_parameters_than_its_baseline():
    fast, plain = (
        sum(p.numel() for p in model_of(read_config(name)).parameters())
        for name in ("shakespeare-char-fast", "shakespeare-char")
    )
    assert fast <= plain == 804_096
