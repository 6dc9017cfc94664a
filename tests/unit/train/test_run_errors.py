"""A run that fails or is refused: what it leaves behind, and what the message says."""

from __future__ import annotations

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.tiny_training import TINY, Recorder, with_train
from zeropoint.blueprint.cost import count_parameters
from zeropoint.errors import BadInput, DiskError, OutOfMemory, ZeropointError
from zeropoint.models.decoder import Decoder
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
)
from zeropoint.train.loop.early_stopping import Diverged
from zeropoint.train.loop.gradients import NotFinite
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.run.build_model import blueprint_of, build_model
from zeropoint.train.run.memory import check_fits_memory
from zeropoint.train.run.run import run
from zeropoint.train.schedules.constant import Constant


def test_a_nonfinite_loss_names_the_step_the_tensor_and_the_checkpoint(folder: Path) -> None:
    config = replace(with_train(TINY, max_grad_norm=0.0), optimizer=AdamW(learning_rate=1e38))
    with pytest.raises(NotFinite) as caught:
        run(config, folder / "run")
    assert str(caught.value).startswith("step 2: the loss is NaN or infinite, first in ")
    assert str(caught.value).endswith("step-000000; resume from it with --resume")
    assert caught.value.exit_code == 1
    run(replace(config, optimizer=AdamW()), folder / "run", resume=True)  # with a smaller rate it goes on


def test_a_diverging_loss_ends_the_run_and_leaves_an_earlier_checkpoint(folder: Path) -> None:
    config = replace(with_train(TINY, steps=200), optimizer=AdamW(learning_rate=3.0), schedule=Constant())
    with pytest.raises(
        Diverged, match=r"the loss diverged: its mean over 20 steps is .*, up from 4\."
    ) as caught:
        run(config, folder / "run")
    assert "the gradient of " in str(caught.value)
    assert str(caught.value).endswith("step-000000; resume from it with --resume")


class MeanOverPositions(nn.Module):
    """A faulty norm: it subtracts the mean over all positions, so every position sees later tokens."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD - x_BTD.mean(dim=1, keepdim=True)


def test_a_model_that_sees_future_tokens_is_not_trained(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_leaky(*args: Any) -> nn.Module:
        model = build_model(*args)
        assert isinstance(model, Decoder)
        model.blocks[0].attention_norm = MeanOverPositions()
        return model

    monkeypatch.setattr("zeropoint.train.run.trainer.build_model", build_leaky)
    message = r"blocks\.0\.attention_norm \(MeanOverPositions\) .*train\.check_causality=false"
    with pytest.raises(BadInput, match=message):
        run(with_train(TINY, check_causality=True), folder / "run")
    assert checkpoint.list_checkpoints(folder / "run") == []
    assert run(TINY, folder / "run").step == 6  # with the check turned off


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
    ],
    ids=["torch", "python", "gpu", "cublas", "cuda"],
)
def test_out_of_memory_names_remedies_and_the_last_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("zeropoint.train.run.trainer.train", fail)
        with pytest.raises(
            OutOfMemory,
            match=r"not enough memory for step 1; increase train\.accumulation_steps.*step-000000",
        ):
            run(TINY, folder / "run")
    monkeypatch.setattr("zeropoint.train.run.trainer.build_model", fail)
    with pytest.raises(OutOfMemory, match=r"memory for the model; choose smaller sizes in \[model\]"):
        run(TINY, folder / "other")


def test_a_signal_during_data_preparation_ends_the_run_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.train.run.run.prepare", lambda *args: signal.raise_signal(signal.SIGINT))
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores SIGINT
    try:
        with pytest.raises(KeyboardInterrupt):
            run(TINY, folder / "run")
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "manifest.json"])
def test_resuming_skips_a_damaged_checkpoint_and_names_it(folder: Path, name: str) -> None:
    run(TINY, folder / "run")
    path = folder / "run/checkpoints/step-000006" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    recorder = Recorder()
    run(with_train(TINY, steps=7), folder / "run", [recorder], resume=True)
    assert f"step-000006/{name} is" in recorder.notices[0]
    assert recorder.notices[0].endswith("; resuming from step-000004")
    assert [info.step for info in recorder.steps] == [5, 6, 7]


def test_without_an_intact_checkpoint_the_error_names_all(folder: Path) -> None:
    run(TINY, folder / "run")
    for path in checkpoint.list_checkpoints(folder / "run"):
        (path / "optimizer.safetensors").unlink()
    assert_refused(
        TINY,
        folder / "run",
        True,
        "every checkpoint .*step-000006/opt.* missing.*step-000004/opt.*new run",
    )


def test_a_checkpoint_of_a_newer_format_is_refused_not_skipped(folder: Path) -> None:
    run(TINY, folder / "run")
    newest, *_ = checkpoint.list_checkpoints(folder / "run")
    manifest = json.loads((newest / "manifest.json").read_text())
    (newest / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    assert_refused(
        TINY,
        folder / "run",
        True,
        "has format 2, and this zeropoint reads 1; install the version that wrote it",
    )


def test_a_model_that_cannot_fit_is_refused_before_allocation(folder: Path) -> None:
    sizes = ModelConfig(n_layers=4096, n_heads=1024, d_model=2**20, n_ctx=16)
    with pytest.raises(
        OutOfMemory, match=r"the model has [0-9,]{18,} parameters, which take .* smaller sizes"
    ):
        run(replace(TINY, model=sizes), folder / "run")
    cpu, tiny = torch.device("cpu"), blueprint_of(TINY.model, 65)
    check_fits_memory(tiny, cpu, 12 * count_parameters(tiny))
    with pytest.raises(OutOfMemory, match=r"parameters.* this machine has"):
        check_fits_memory(tiny, cpu, 12 * count_parameters(tiny) - 1)
    with pytest.raises(OutOfMemory, match=r"parameters.* the GPU has 0\.0 GB; choose smaller sizes"):
        check_fits_memory(tiny, torch.device("cuda"), 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(folder: Path) -> None:
    assert_refused(
        with_train(TINY, device="cuda"),
        folder / "run",
        False,
        'train.device is "cuda", but .* torch .*"auto"',
    )
    assert run(with_train(TINY, device="auto"), folder / "run").step == 6


@pytest.mark.parametrize("limit_bytes", [0, 10_000, 25_000, 30_000])
def test_a_full_disk_leaves_the_last_good_checkpoint(folder: Path, limit_bytes: int) -> None:
    """A limit on the size of files fails writes as a disk without room does; the optimizer's are large."""
    folder = folder / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run(with_train(TINY, steps=2), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        with pytest.raises(DiskError, match="this shell") as caught:
            run(with_train(TINY, steps=4), folder, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if limit_bytes > 20_000:
        assert "The last good checkpoint is" in str(caught.value)
        assert "step-000002; resume from it with --resume" in str(caught.value)
    after = {path: path.read_bytes() for path in before if "checkpoints" in path.parts}
    assert after == {path: content for path, content in before.items() if "checkpoints" in path.parts}
    assert not list(folder.rglob("*.tmp.*"))
    assert run(with_train(TINY, steps=4), folder, resume=True).step == 4


def assert_refused(config: RunConfig, folder: Path, resume: bool, message: str) -> None:
    with pytest.raises(ZeropointError, match=message) as caught:
        run(config, folder, resume=resume)
    assert caught.value.exit_code == 2


def test_an_unsuitable_folder_is_refused(folder: Path) -> None:
    (folder / "file").write_text("")
    assert_refused(TINY, folder / "file", False, "is a file; choose a folder")
    assert_refused(TINY, folder, False, "is not empty .it contains file.; choose an empty or new folder")
    assert_refused(TINY, folder / "none", True, "holds no checkpoint to resume from")
    assert_refused(TINY, folder / "file" / "below", False, "cannot be created: Not a directory")
    run(TINY, folder / "run")
    assert_refused(TINY, folder / "run", False, "holds a run; add --resume")


def test_changes_that_prevent_resuming_are_named(folder: Path) -> None:
    folder, text = folder / "run", folder / "text.txt"
    text.write_text("one and one is two, " * 40)
    config = replace(TINY, data=DataConfig(source=str(text)))
    run(config, folder)
    assert_refused(
        with_train(config, batch_size=8), folder, True, "train.batch_size is 8 but was 4 when .*step-000006"
    )
    assert_refused(
        replace(config, model=replace(config.model, d_model=32)),
        folder,
        True,
        "model.d_model is 32 but was 16",
    )
    text.write_text("one and one is too, " * 40)
    assert_refused(config, folder, True, "text.txt has changed since .*step-000006 was written")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "text.txt has no text"),
        (b"short", "16"),
        (b"\xff\xfe" + b"x" * 99, "UTF-8"),
        (b"a" * 999, "repeats a single character"),
    ],
    ids=["empty", "shorter than a block", "not UTF-8", "one symbol"],
)
def test_an_unsuitable_text_is_refused(folder: Path, content: bytes, message: str) -> None:
    text = folder / "text.txt"
    text.write_bytes(content)
    assert_refused(replace(TINY, data=DataConfig(source=str(text))), folder / "run", False, message)
