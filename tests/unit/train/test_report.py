"""The report of a run: loss curves, samples, TensorBoard events and a self-contained page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from zeropoint.errors import BadInput, not_installed
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, StepInfo
from zeropoint.train.callbacks.metrics import MetricsFile, SampleFiles, TensorBoard
from zeropoint.train.config.io import read_config
from zeropoint.train.report.plot import draw_png, draw_terminal, read_curve
from zeropoint.train.report.report import Report, render_html
from zeropoint.train.run.run import run

SETS = (
    "data.tokenizer=characters",
    "train.steps=6", "train.batch_size=2", "train.checkpoint_every=2", "model.n_layers=1", "model.d_model=16",
    "model.n_heads=2", "model.n_ctx=16", "eval.every=2", "eval.n_batches=1", "sample.every=2",
    "schedule.warmup_steps=2", 'sample.prompt="The "', "sample.n_tokens=8",
)  # fmt: skip


class Notices(Callback):
    """Collects notices."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def on_notice(self, text: str) -> None:
        self.notices.append(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder, user = tmp_path_factory.mktemp("runs") / "tiny & co", Notices()
    run(
        read_config("harbour", SETS),
        folder,
        [user, MetricsFile(), SampleFiles(), TensorBoard(), Report(user)],
    )
    assert user.notices == []
    return folder


def test_the_page_is_self_contained_and_shows_how_to_repeat_the_run(folder: Path) -> None:
    page = (folder / "report.html").read_text("utf-8")
    assert not re.search(
        r"""(src|href|url)\s*[=(]\s*["']?(?!#)\S""", page.replace("xlink:href", "").replace("url(#", "")
    )
    assert "<script" not in page
    assert "http-equiv" not in page  # it no longer reloads
    assert "zeropoint[" not in page  # installed from the source tree, not by a name in a registry
    facts = json.loads((folder / "run.json").read_text())
    manifest = json.loads((folder / "checkpoints/step-000006/manifest.json").read_text())
    for text in (
        *facts["data_sha256"].values(),
        facts["processor"],
        facts["torch"],
        manifest["sha256"]["weights.safetensors"],
        "pip install '.[train]'\nzeropoint train --config config.toml",
        "zeropoint train --resume --out &#39;runs/tiny &amp; co&#39; --set train.steps=12",
        "the dashed line",
        "guessing: ",
        "all steps are done",
        "6 steps",
        "tiny &amp; co",
        "batch_size = 2",
        "<svg",
    ):
        assert text in page, text


class Pages(Callback):
    """Keeps what report.html holds after each evaluation; fails at a step."""

    def __init__(self, folder: Path, fails_at: int = 0) -> None:
        self.folder, self.fails_at = folder, fails_at
        self.pages: list[str] = []

    def on_eval(self, info: EvalInfo) -> None:
        self.pages.append((self.folder / "report.html").read_text("utf-8"))

    def on_step(self, info: StepInfo) -> None:
        if info.step == self.fails_at:
            raise BadInput("the disk caught fire")


@pytest.mark.train
def test_the_page_exists_from_the_first_evaluation_and_reloads_itself(tmp_path: Path) -> None:
    user, pages = Notices(), Pages(tmp_path / "run")
    with Report(user) as report:
        run(
            read_config("harbour", (*SETS, "train.steps=2")), tmp_path / "run", [MetricsFile(), report, pages]
        )
    assert '<meta http-equiv="refresh" content="10">' in pages.pages[0]
    assert "Training: 0 of 2 steps" in pages.pages[0]
    assert "a loss of ln" in pages.pages[0]
    assert "--resume" not in pages.pages[0]
    assert "http-equiv" not in (tmp_path / "run/report.html").read_text("utf-8")


@pytest.mark.train
def test_the_page_of_a_failed_run_stops_reloading(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(BadInput, match="fire"), Report(Notices()) as report:
        run(read_config("harbour", SETS), folder, [MetricsFile(), report, Pages(folder, fails_at=2)])
    page = (folder / "report.html").read_text("utf-8")
    assert "The run ended because of an error" in page
    assert "http-equiv" not in page
    assert "zeropoint train --resume --out runs/run</pre>" in page


@pytest.mark.train
def test_samples_are_escaped(folder: Path) -> None:
    (folder / "samples" / "step-000004.txt").write_text("<script>alert(1)</script>")
    assert "<script" not in render_html(folder)
    assert "&lt;script&gt;" in render_html(folder)


@pytest.mark.train
def test_the_page_mentions_a_resume(tmp_path: Path) -> None:
    user = Notices()
    for steps, resume in ((3, False), (4, True)):
        config = read_config("harbour", (*SETS, f"train.steps={steps}"))
        run(config, tmp_path / "run", [user, MetricsFile(), Report(user)], resume=resume)
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "resumed after step 3 with changed settings" in page
    assert "steps = 4" in page


def test_the_curve_as_an_image_and_in_a_terminal(folder: Path) -> None:
    curve = read_curve(folder)
    assert (folder / "loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert list(curve.steps) == [1, 2, 3, 4, 5, 6]
    assert list(curve.eval_steps) == [0, 2, 4, 6]
    best = curve.best
    assert best is not None
    assert best[1] == min(curve.eval_losses)
    text = draw_terminal(curve, 60, 12)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines()[:-1])) <= 60
    assert "●" in text
    assert "\x1b[" in draw_terminal(curve, 60, 12, has_color=True)


def test_a_run_without_steps_can_be_drawn(tmp_path: Path) -> None:
    curve = read_curve(tmp_path)
    assert draw_png(curve, "empty")[:4] == b"\x89PNG"
    assert "loss by step" in draw_terminal(curve, 60, 12)


def test_tensorboard_events_and_samples_are_written(folder: Path) -> None:
    assert list((folder / "tensorboard").glob("events*"))
    assert (folder / "samples" / "step-000006.txt").read_text().startswith("The ")


def test_a_failing_report_does_not_fail_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    user = Notices()
    result = run(
        read_config("harbour", (*SETS, "train.steps=3")),
        tmp_path / "run",
        [user, MetricsFile(), Report(user)],
    )
    assert result.step == 3
    assert user.notices == ["the report was not written: " + not_installed("plotting", "matplotlib")]
