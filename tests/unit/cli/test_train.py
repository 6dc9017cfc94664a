"""`zeropoint train` and `zeropoint export`: a tiny run is trained, resumed, exported and used."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run

TINY = [
    f"--set={setting}"
    for setting in (
        "data.tokenizer=characters", "model.family=gpt2",
        "train.batch_size=2", "model.n_layers=1", "model.d_model=16", "model.n_heads=2", "model.n_ctx=16",
        "eval.n_batches=1", "schedule.warmup_steps=1", "sample.n_tokens=4",
    )
]  # fmt: skip


@pytest.mark.train
def test_a_run_is_trained_resumed_and_replaced(run: Run) -> None:
    first = run("train", "harbour", *TINY, "--set", "train.steps=4", "--set", "eval.every=2")
    assert first.code == 0, first.err
    assert first.out.startswith("runs/harbour: step 4, loss ")
    assert "ended because all steps are done" in first.out
    assert "step 2/4: training " in first.err
    assert re.search(r"guessing among \d+ tokens has a loss of \d\.\d\d; Ctrl-C", first.err)
    again = run("train", "harbour", *TINY)
    assert (again.code, again.out) == (2, "")
    assert "--resume" in again.err
    resumed = run("train", "harbour", "--resume", "--set", "train.steps=6", "--json")
    assert resumed.code == 0, resumed.err
    assert json.loads(resumed.out)["step"] == 6
    lines = Path("runs/harbour/metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if '"step", ' in line]
    assert steps == [1, 2, 3, 4, 5, 6]
    fresh = run("train", "harbour", *TINY, "--set", "train.steps=2", "--fresh")
    assert fresh.code == 0, fresh.err
    assert "renamed the existing run in runs/harbour to runs/harbour.old-1" in fresh.err
    assert Path("runs/harbour.old-1/report.html").exists()


@pytest.mark.train
def test_the_commands_that_a_run_ends_with_work(run: Run) -> None:
    out = run("train", "harbour", *TINY, "--set=train.steps=2", "--out", "my run").out
    lines = dict(re.findall(r"^(use it|continue): +zeropoint (.+)$", out, re.MULTILINE))
    used = run(*shlex.split(lines["use it"]), "-n", "3", "--temperature", "0")
    assert (used.code, len(used.out) > 1) == (0, True), used.err
    continued = run(*shlex.split(lines["continue"]))
    assert continued.code == 0, continued.err
    assert continued.out.startswith("my run: step 4, loss ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a preset ("),
        (["harbor"], "unknown preset `harbor`; expected one of"),
        (["harbour", "--config", "x.toml"], "both the preset harbour and --config x.toml are given"),
        (["--config", "x.toml"], "there is no file x.toml"),
        (["harbour", "--set", "train.stepps=3"], "train.stepps"),
        (["harbour", "--time-budget", "soon"], "expected a duration"),
        (["harbour", "--resume"], "there is no run in runs/harbour"),
        (["harbour", "--resume", "--fresh"], "give one of them"),
        (["--resume"], "add --out DIR, the run's folder"),
        (["harbour", *TINY, "--fresh", "--out", "."], "give the run's folder by its name"),
        (
            ["harbour", "--set", "model.n_layers=1000000000"],
            "model.n_layers is 1000000000; expected 1 to 4096",
        ),
        (["harbour", *TINY, "--set", "data.n_ctx=17"], "data.n_ctx is 17 but the model's n_ctx is 16"),
        (["harbour", *TINY, "--set", "data.source="], "unknown data set ``; expected one of harbour"),
    ],
)
def test_bad_arguments_are_rejected(arguments: list[str], message: str, run: Run) -> None:
    result = run("train", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [(), ("--fresh",)])
def test_a_folder_with_other_files_is_neither_used_nor_renamed(arguments: tuple[str, ...], run: Run) -> None:
    Path("letters").mkdir()
    Path("letters/aunt.txt").write_text("Dear aunt")
    result = run("train", "harbour", *TINY, "--out", "letters", *arguments)
    assert result.code == 2
    assert "letters is not empty (it contains aunt.txt)" in result.err
    assert [path.name for path in Path.cwd().iterdir() if "letters" in path.name] == ["letters"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "data.source=nope"], "unknown data set `nope`"),
        (["--set", "data.n_ctx=17"], "data.n_ctx is 17"),
        (["--set", "optimizer.kind=sdg"], "unknown optimizer.kind `sdg`"),
        (["--set", "train.device=cuda"], "train.device"),
    ],
)
def test_fresh_renames_nothing_if_the_new_run_cannot_start(
    arguments: list[str], message: str, run: Run
) -> None:
    Path("runs/harbour/checkpoints").mkdir(parents=True)
    result = run("train", "harbour", *TINY, "--fresh", *arguments)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert [path.name for path in Path("runs").iterdir()] == ["harbour"]


def test_a_run_in_training_by_another_process_is_not_renamed(run: Run) -> None:
    from zeropoint.train.run.run_lock import lock_run

    Path("runs/harbour/checkpoints").mkdir(parents=True)
    with lock_run(Path("runs/harbour")):
        result = run("train", "harbour", *TINY, "--fresh")
    assert result.code == 1
    assert f"runs/harbour is being trained by process {os.getpid()}" in result.err
    assert [path.name for path in Path("runs").iterdir()] == ["harbour"]


@pytest.mark.train
def test_a_run_without_its_configuration_cannot_be_resumed(run: Run) -> None:
    assert run("train", "harbour", *TINY, "--set", "train.steps=2", "-q").code == 0
    Path("runs/harbour/run.json").unlink()
    result = run("train", "harbour", "--resume")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "runs/harbour/run.json is missing, so the run cannot be resumed" in result.err
    Path("runs/harbour/config.toml").unlink()
    result = run("train", "harbour", "--resume")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "runs/harbour/config.toml is missing; restore it, or start a new run" in result.err


@pytest.mark.train
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_and_stops(
    number: int, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from zeropoint.train.callbacks.callbacks import StepInfo
    from zeropoint.train.callbacks.metrics import MetricsFile

    write = MetricsFile.on_step

    def on_step(self: MetricsFile, info: StepInfo) -> None:
        write(self, info)
        if info.step == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(MetricsFile, "on_step", on_step)
    result = run("train", "harbour", *TINY, "--set", "train.steps=50")
    assert result.code == code, result.err
    assert "continue:     zeropoint train --resume --out runs/harbour\n" in result.out
    assert Path("runs/harbour/checkpoints").is_dir()
    assert Path("runs/harbour/report.html").is_file()


@pytest.mark.train
def test_an_exported_run_generates_the_same_text(run: Run) -> None:
    assert run("train", "harbour", *TINY, "--set", "train.steps=2", "-q").err == ""
    gguf = run("export", "harbour", "--gguf", "--json")
    assert gguf.code == 0, gguf.err
    path = json.loads(gguf.out)["path"]
    assert path == "runs/harbour/export/harbour-step-000002.gguf"
    folder = run("export", "runs/harbour", "--hf", "--best", "--out", "folder")
    assert folder.code == 0, folder.err
    assert json.loads(Path("folder/config.json").read_text())["model_type"] == "gpt2"
    texts = {
        run("generate", "--model", name, "--temperature", "0", "-n", "6", "--exact", "The ").out
        for name in (path, "runs/harbour", "run:harbour", "run:harbour@2", "runs/harbour/latest")
    }
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--gguf"], "there is no run at nothing or runs/nothing"),
        (["nothing"], "give exactly one of --gguf (a file) and --hf (a folder)"),
        (["nothing", "--hf", "--gguf"], "give exactly one of --gguf (a file) and --hf (a folder)"),
        (["nothing", "--hf", "--best", "--step", "3"], "select different checkpoints"),
    ],
)
def test_bad_exports_are_rejected(arguments: list[str], message: str, run: Run) -> None:
    result = run("export", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
