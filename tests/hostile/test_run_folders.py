"""A run's folder with FIFOs, devices and links out of it where files are expected."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from zeropoint.convert.run_gguf import open_native
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.train.callbacks.metrics import read_metrics, truncate_after
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.io import read_run_config
from zeropoint.train.report import report
from zeropoint.weights.json_file import read_json_object
from zeropoint.weights.run_checkpoint import checkpoint_path, find_checkpoint, open_checkpoint


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def outside(path: Path) -> None:
    path.symlink_to("/proc/self/environ")


def loop(path: Path) -> None:
    path.symlink_to(path)


PLANTS = [fifo, device, outside, loop]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    write_tiny_run(folder, TINY_RUNS["llama"])
    return folder


def plant(path: Path, what: Callable[[Path], None]) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    what(path)


@pytest.mark.parametrize("what", PLANTS)
@pytest.mark.parametrize("name", ["latest", "best"])
def test_a_pointer_that_is_not_a_file_counts_as_missing(
    name: str, what: Callable[[Path], None], run: Path
) -> None:
    plant(run / name, what)
    assert checkpoint.resolve_pointer(run, name) is None
    checkpoint._point(run, name, run / "checkpoints" / "step-000004")
    assert checkpoint.resolve_pointer(run, name) == run / "checkpoints" / "step-000004"
    assert not (run / name).is_symlink()


@pytest.mark.parametrize("what", PLANTS)
def test_opening_a_run_names_the_pointer(what: Callable[[Path], None], run: Path) -> None:
    plant(run / "latest", what)
    with pytest.raises(Exception, match="latest") as error:
        checkpoint_path(run)
    assert len(str(error.value)) < 300
    if what is not outside:
        assert find_checkpoint(run / "latest") is None


@pytest.mark.parametrize("what", PLANTS)
@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json"])
def test_opening_a_checkpoint_refuses_what_is_not_a_file(
    name: str, what: Callable[[Path], None], run: Path
) -> None:
    folder = checkpoint_path(run)
    plant(folder / name, what)
    with pytest.raises((BadModelFile, BadInput), match=name):
        open_checkpoint(folder)


@pytest.mark.parametrize("what", PLANTS)
@pytest.mark.parametrize("name", ["config.toml", "run.json", "metrics.jsonl"])
def test_reading_a_record_refuses_what_is_not_a_file(
    name: str, what: Callable[[Path], None], run: Path
) -> None:
    path = run / name
    plant(path, what)
    readers = {
        "config.toml": lambda: read_run_config(run),
        "run.json": lambda: read_json_object(path, 1 << 20),
        "metrics.jsonl": lambda: read_metrics(run),
    }
    if name == "metrics.jsonl" and what is outside:
        assert read_metrics(run) == ([], [])  # one incomplete line, as a killed run may leave
        return
    with pytest.raises(Exception, match=name) as error:
        readers[name]()
    assert type(error.value).__module__ == "zeropoint.errors"
    if name == "metrics.jsonl" and what in (fifo, device):
        with pytest.raises(BadInput, match="is not a regular file"):
            truncate_after(path, 1)


def test_a_sparse_file_of_weights_is_refused_before_it_is_hashed(run: Path) -> None:
    folder = checkpoint_path(run)
    os.truncate(folder / "weights.safetensors", 1 << 43)
    with pytest.raises(BadModelFile, match=r"weights\.safetensors"):
        open_checkpoint(folder)


@pytest.mark.parametrize("content", ["5", "[]", '{"sha256": 5}', "{}", "["])
def test_a_report_names_a_manifest_of_the_wrong_shape(content: str, run: Path) -> None:
    (run / "latest").write_text("step-000004\n")
    (run / "checkpoints" / "step-000004" / "manifest.json").write_text(content)
    with pytest.raises(BadInput, match=r"manifest\.json"):
        report._weights(run)


def test_a_report_ignores_files_that_are_not_samples(tmp_path: Path) -> None:
    for name in ("step-x.txt", "step-.txt", "step-000004.txt.txt"):
        (tmp_path / name).write_text("no sample")
    (tmp_path / "step-000004.txt").write_text("a sample")
    assert [sample.step for sample in report._samples(tmp_path)] == [4]


@pytest.mark.parametrize("what", [fifo, device, Path.mkdir])
def test_a_tokenizer_that_is_not_a_file_is_named(what: Callable[[Path], None], run: Path) -> None:
    plant(run / "tokenizer.json", what)
    with pytest.raises(BadInput, match=r"tokenizer\.json"):
        open_native(run)
