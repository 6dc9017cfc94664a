"""What `models show` and `plan` say about a model: its facts, and why zeropoint cannot run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gguf import GGUFValueType

from tests.support.tiny import write_tiny_model
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from zeropoint.catalogue.lookup import ModelInfo
from zeropoint.cli.app import main
from zeropoint.errors import BadModelFile
from zeropoint.planning import describe as module
from zeropoint.planning.describe import describe
from zeropoint.planning.estimate import estimate
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf


def write_as(source: Path, target: Path, **metadata: str) -> Path:
    """A copy of a GGUF file with other metadata; `__` in a key stands for a dot."""
    file = open_gguf(source)
    changed = dict(file.metadata) | {key.replace("__", "."): value for key, value in metadata.items()}
    write_gguf(target, changed, [])
    return target


@pytest.fixture
def unknown(tiny_path: Path, tmp_path: Path) -> Path:
    """A GGUF file of an architecture that has no family here."""
    return write_as(
        tiny_path,
        tmp_path / "gemma-3-Q4_0.gguf",
        general__architecture="exaone4",
        general__name="EXAONE 4 1B",
        general__size_label="1B",
        general__license="gemma",
    )


UNKNOWN = (
    "EXAONE 4 1B is a model with 1B weights of the architecture `exaone4`, which zeropoint cannot run yet; "
    "it runs bert, "
)


def test_an_unknown_architecture_says_which_model_it_is_and_what_runs(unknown: Path) -> None:
    model = describe(str(unknown))
    assert (model.size, model.title, model.architecture) == (None, "EXAONE 4 1B", "exaone4")
    assert (model.info.licence, model.info.format) == ("gemma", "Q4_0")
    assert model.problem is not None
    assert UNKNOWN in model.problem
    assert "`zeropoint list` shows models" in model.problem
    with pytest.raises(BadModelFile, match="EXAONE 4 1B is a model with 1B weights"):
        estimate(str(unknown))


def test_the_header_alone_decides_before_a_download(unknown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = unknown.read_bytes()
    info = ModelInfo("m", "the hub", len(content), len(content), head=lambda n_bytes: content[:n_bytes])
    monkeypatch.setattr(module, "lookup", lambda name, settings: info)
    assert UNKNOWN in str(describe("hf:owner/m").problem)


def test_show_and_plan_agree_that_it_cannot_run(unknown: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as shown:
        main(["models", "show", str(unknown), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert (shown.value.code, facts["can_run"]) == (0, False)
    with pytest.raises(SystemExit) as planned:
        main(["plan", str(unknown)])
    captured = capsys.readouterr()
    assert (planned.value.code, captured.out, captured.err) == (2, "", f"error: {facts['problem']}\n")


def test_an_unknown_pre_tokenizer_is_a_problem_too(tiny_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_tiny_model(path, extra={"tokenizer.ggml.pre": ("nobody-knows", GGUFValueType.STRING)})
    assert "unknown pre-tokenizer `nobody-knows`" in str(describe(str(path)).problem)


def test_a_file_that_runs_has_a_size(tiny_path: Path) -> None:
    model = describe(str(tiny_path))
    assert model.problem is None
    assert model.size is not None
    assert model.size.weight_bytes == sum(tensor.n_bytes for tensor in open_gguf(tiny_path).tensors.values())
    assert (model.info.format, model.n_ctx) == ("F32", model.size.blueprint.n_ctx)


def test_a_training_run_is_planned_as_the_file_that_it_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tiny_run(Path("runs/mine"), TINY_RUNS["llama"])
    model = describe("mine")
    assert (model.problem, model.title) == (None, "mine-step-000004")
    assert model.size is not None
    assert (model.info.format, model.size.format_bytes) == ("F32", {"F32": model.size.weight_bytes})


def test_a_hugging_face_folder_gives_the_command_that_converts_it(tmp_path: Path) -> None:
    write_tiny_folder(tmp_path / "hf", CONFIGS["llama"])
    model = describe(str(tmp_path / "hf"))
    assert (model.architecture, model.size) == ("llama", None)
    assert "convert it once: zeropoint convert " in str(model.problem)


def test_recommended_sampling_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = {"general.sampling.temp": (0.6, GGUFValueType.FLOAT32)}
    write_tiny_model(tmp_path / "m.gguf", extra=extra)
    with pytest.raises(SystemExit):
        main(["models", "show", str(tmp_path / "m.gguf")])
    assert "sampling\ttemperature 0.6" in capsys.readouterr().out.splitlines()
    with pytest.raises(SystemExit):
        main(["models", "show", "smollm2:135m", "--json"])
    assert json.loads(capsys.readouterr().out)["sampling"] == {"temperature": 0.2, "top_p": 0.9}
