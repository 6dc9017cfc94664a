"""Configurations: recipes, files, overrides, aliases, and checks before anything is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zeropoint.blueprint import catalog
from zeropoint.blueprint.io import to_toml
from zeropoint.errors import BadInput
from zeropoint.layers.attention.projections import Projections
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.duration import parse_duration
from zeropoint.train.config.io import config_toml, read_config, read_run_config
from zeropoint.train.config.recipes import recipes
from zeropoint.train.config.validate import check
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.optim.muon import Muon
from zeropoint.train.run.build_model import blueprint_of, build_model
from zeropoint.train.schedules.cosine import Cosine
from zeropoint.train.schedules.wsd import WSD


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_valid_and_round_trips(name: str, tmp_path: Path) -> None:
    config = read_config(name)
    check(config)
    blueprint_of(config.model, 65)
    path = tmp_path / "config.toml"
    path.write_text(config_toml(config))
    assert read_config(path) == config


def test_shakespeare_char_has_the_settings_of_nanogpt() -> None:
    config = read_config("shakespeare-char")
    assert blueprint_of(config.model, 65) == catalog.load("tiny-gpt")
    assert config.optimizer == AdamW(1e-3, (0.9, 0.99), 1e-8, 0.1)
    assert config.schedule == Cosine(100, 0.1)
    assert (config.train.steps, config.train.batch_size, config.train.max_grad_norm) == (2000, 12, 1.0)
    assert (config.eval.n_batches, config.model.dropout, config.data.validation) == (20, 0.0, 0.1)


@pytest.mark.train
@pytest.mark.parametrize(
    ("name", "share"), [("shakespeare-char-gpu", 0.2), ("build-gpt", 0.2), ("multi30k-article", 0.1)]
)
def test_recipes_use_attention_dropout_if_their_sources_do(name: str, share: float) -> None:
    config = read_config(name)
    assert config.model.attention_dropout == config.model.dropout == share
    module = build_model(config, blueprint_of(config.model, 65), torch.device("cpu"))
    attentions = [part for part in module.modules() if isinstance(part, Projections)]
    assert {part.dropout.p for part in attentions} == {share}


def test_overrides_take_precedence_and_strings_need_no_quotes() -> None:
    sets = [
        "train.steps=120",
        "data.source=my text.txt",
        "optimizer.betas=[0.9, 0.95]",
        "train.time_budget=10m",
    ]
    config = read_config("harbour", sets)
    assert (config.train.steps, config.data.source) == (120, "my text.txt")
    assert config.optimizer.betas == (0.9, 0.95)
    assert config.train.time_budget == "10m"


def test_another_kind_starts_from_its_own_defaults() -> None:
    config = read_config(
        "shakespeare-char", ["optimizer.kind=muon", "optimizer.momentum=0.9", "schedule.kind=wsd"]
    )
    assert config.optimizer == Muon(momentum=0.9)
    assert config.schedule == WSD()


def test_names_of_nanogpt_and_hugging_face_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "nano.toml"
    path.write_text(
        "n_layer = 2\nn_head = 2\nn_embd = 32\nblock_size = 8\nmax_iters = 5\nlearning_rate = 1e-2\n"
    )
    config = read_config(path, ["batch_size=3", "hidden_size=64"])
    assert (config.model.n_layers, config.model.d_model, config.model.n_ctx) == (2, 64, 8)
    assert (config.train.steps, config.train.batch_size, config.optimizer.learning_rate) == (5, 3, 0.01)
    path.write_text("n_layer = 2\n[model]\nn_layers = 2\n")
    with pytest.raises(BadInput, match=r"nano\.toml: `n_layer` and `model\.n_layers` are the same"):
        read_config(path)


def test_a_configuration_can_contain_a_blueprint(tmp_path: Path) -> None:
    blueprint = catalog.load("tiny-gpt")
    path = tmp_path / "own.toml"
    text = to_toml(blueprint).replace("[[blocks]]", "[[model.blueprint.blocks]]")
    path.write_text("[model.blueprint]\n" + text)
    config = read_config(path)
    assert blueprint_of(config.model, 65) == blueprint
    path.write_text(config_toml(config))
    assert read_config(path) == config
    (tmp_path / "blueprint.toml").write_text(to_toml(blueprint))
    named = replace(config.model, blueprint=str(tmp_path / "blueprint.toml"))
    assert blueprint_of(named, 65) == blueprint


def test_a_llama_from_sizes() -> None:
    config = read_config(
        "harbour", ["model.family=llama", "model.n_kv_heads=2", "model.d_model=96", "model.is_tied=false"]
    )
    blueprint = blueprint_of(config.model, 50)
    assert blueprint.family == "llama"
    assert blueprint.blocks[0].attention.n_kv_heads == 2
    assert blueprint.blocks[0].ffn.d_ff == 256
    assert not blueprint.is_tied


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.step=1", r"unknown key `train\.step`; .*closest: train\.steps"),
        ("trian.steps=1", r"--set trian\.steps=1: unknown section `trian`; .*closest: train"),
        ("train.steps", r"--set train\.steps: expected section\.key=value"),
        ("steps=1", r"--set steps=1: expected section\.key=value"),
        ("train.steps=many", r'`train\.steps` is "many"; expected an integer'),
        ("train.steps=1.5", r"`train\.steps` is 1\.5; expected an integer"),
        ("train.device=gpu", r"unknown train\.device `gpu`; expected one of auto, cpu, cuda"),
        ("optimizer.kind=adam", r"unknown optimizer\.kind `adam`; .*closest: adamw"),
        ("optimizer.betas=[0.9]", r"`optimizer\.betas` has 1 values; expected 2"),
        ("optimizer.momentum=0.9", r"unknown key `optimizer\.momentum`"),
    ],
)
def test_unknown_names_are_refused_with_the_closest_one(override: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_config("harbour", [override])


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"unknown preset `harbuor`.*closest: harbour.*--config"):
        read_config("harbuor")
    with pytest.raises(BadInput, match=r"there is no file .*none\.toml"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[train")
    with pytest.raises(BadInput, match=r"bad\.toml is not valid TOML"):
        read_config(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(BadInput, match=r"bad\.toml is not UTF-8"):
        read_config(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_bytes(b" " * 1_048_577)
    with pytest.raises(BadInput, match=r"bad\.toml has 1048577 bytes; it may have at most"):
        read_config(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("train = 3")
    with pytest.raises(BadInput, match=r"`train` is 3; expected"):
        read_config(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rate=nan", r"optimizer\.learning_rate must be a number above 0; got nan"),
        ("optimizer.learning_rate=0.0", r"optimizer\.learning_rate must be a number above 0; got 0\.0"),
        ("optimizer.learning_rate=-1.0", r"optimizer\.learning_rate must be a number above 0; got -1\.0"),
        ("optimizer.learning_rate=inf", r"optimizer\.learning_rate must be a number above 0; got inf"),
        (
            "optimizer.betas=[0.9, 1.0]",
            r"optimizer\.betas\[1\] must be a number at least 0 and below 1; got 1\.0",
        ),
        ("train.batch_size=0", r"train\.batch_size must be a whole number between 1 and .*; got 0"),
        ("train.steps=0", r"train\.steps must be a whole number between 1 and .*; got 0"),
        ("train.accumulation_steps=0", r"train\.accumulation_steps must be .*; got 0"),
        (
            "train.seed=99999999999",
            r"train\.seed must be a whole number between 0 and 2147483647; got 99999999999",
        ),
        (
            "train.threads=100000",
            r"train\.threads must be a whole number between 0 and 1024; got 100000",
        ),
        ("train.max_checkpoints=1", r"train\.max_checkpoints must be a whole number between 2 and .*; got 1"),
        (
            "train.accumulation_steps=3",
            r"train\.batch_size is 8 and train\.accumulation_steps is 3; .*a multiple of 3",
        ),
        ("train.max_grad_norm=-1.0", r"train\.max_grad_norm must be a number at least 0; got -1\.0"),
        ("train.time_budget=soon", r"train\.time_budget is 'soon'; expected a duration such as 90s"),
        ("model.dropout=1.0", r"model\.dropout must be a number at least 0 and below 1; got 1\.0"),
        (
            "model.attention_dropout=-0.1",
            r"model\.attention_dropout must be a number at least 0 and below 1; got -0\.1",
        ),
        ("data.validation=1.0", r"data\.validation must be a number above 0 and below 1; got 1\.0"),
        (
            "schedule.min_lr_ratio=2.0",
            r"schedule\.min_lr_ratio must be a number between 0 and 1; got 2\.0",
        ),
        ("model.blueprint=tiny-gpt", r"model\.n_layers and model\.blueprint are both set"),
    ],
)
def test_values_out_of_range_are_refused(override: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check(read_config("harbour", [override]))


def test_all_problems_are_reported_at_once() -> None:
    config = read_config("harbour", ["train.steps=0", "train.batch_size=0"])
    with pytest.raises(BadInput, match=r"train\.steps must .*; got 0; train\.batch_size must .*; got 0"):
        check(config)
    with pytest.raises(
        BadInput, match="accumulation_steps is 1 with 17 workers; every micro-batch needs an example"
    ):
        check(read_config("harbour"), n_workers=17)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.n_heads=5", r"model\.d_model is 96 and model\.n_heads is 5; d_model must be a multiple"),
        ("model.n_kv_heads=3", "n_kv_heads"),
        ("model.n_ctx=0", r"model\.n_ctx is 0; give a size of 1 or more, or a model\.blueprint"),
    ],
)
def test_invalid_sizes_are_refused(override: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        blueprint_of(read_config("harbour", [override]).model, 48)


def test_a_missing_blueprint_is_refused(tmp_path: Path) -> None:
    model = RunConfig().model
    with pytest.raises(BadInput, match=r"unknown blueprint `tiny-gtp`.*closest: tiny-gpt"):
        blueprint_of(replace(model, blueprint="tiny-gtp"), 48)
    with pytest.raises(BadInput, match=r"none\.toml cannot be read"):
        blueprint_of(replace(model, blueprint=str(tmp_path / "none.toml")), 48)


def test_durations() -> None:
    assert [parse_duration(text, "x") for text in ("90s", "10m", "1.5h", "2d", "7", "")] == [
        90, 600, 5400, 172800, 7, None,
    ]  # fmt: skip


def test_the_configuration_of_another_version_names_the_line_and_a_remedy(tmp_path: Path) -> None:
    written = config_toml(RunConfig())
    path = tmp_path / "config.toml"
    path.write_text(written.replace('compile = "auto"', "compile = true"))
    with pytest.raises(BadInput) as caught:
        read_run_config(tmp_path, ["train.compile=auto"])
    message = str(caught.value)
    assert message.startswith(f"{path}: `train.compile` is true; expected one of auto, always, never; ")
    assert message.endswith("correct that line, or use the version that run.json names")
    path.write_text(written)
    assert read_run_config(tmp_path, ["train.steps=7"]).train.steps == 7
    with pytest.raises(BadInput) as caught:  # this problem is in the override, not in the file
        read_run_config(tmp_path, ["train.compile=true"])
    assert "run.json" not in str(caught.value)
