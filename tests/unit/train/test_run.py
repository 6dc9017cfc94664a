"""A run's folder: what it holds, how it is gone on with, and what each way of going wrong says."""

from __future__ import annotations

import json
import math
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zeropoint.blueprint.cost import count_parameters
from zeropoint.data.batches import RandomWindows
from zeropoint.errors import BadInput, DiskError, OutOfMemory, ZeropointError
from zeropoint.models.decoder import Decoder
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, StepInfo
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.config.config import (
    DataConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    TrainConfig,
    read_config,
)
from zeropoint.train.loop.early_stopping import Diverged
from zeropoint.train.loop.gradients import NotFinite
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.optim.muon import Muon
from zeropoint.train.run import prepare
from zeropoint.train.run.build_model import blueprint_of
from zeropoint.train.run.causality import CausalityViolation
from zeropoint.train.run.memory import check_fits_memory
from zeropoint.train.run.run import run
from zeropoint.train.schedules.constant import Constant
from zeropoint.train.schedules.cosine import Cosine

TINY = RunConfig(
    model=ModelConfig(n_layers=1, n_heads=2, d_model=16, n_ctx=16),
    train=TrainConfig(steps=6, batch_size=4, checkpoint_every=2, device="cpu", check_causality=False),
    schedule=Cosine(warmup_steps=2),
    eval=EvalConfig(every=3, n_batches=1),
)


class Told(Callback):
    """All that was told."""

    def __init__(self) -> None:
        self.steps: list[StepInfo] = []
        self.evals: list[EvalInfo] = []
        self.samples: list[str] = []
        self.notices: list[str] = []
        self.ends: list[Result] = []

    def on_step(self, info: StepInfo) -> None:
        self.steps.append(info)

    def on_eval(self, info: EvalInfo) -> None:
        self.evals.append(info)

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(text)

    def on_notice(self, text: str) -> None:
        self.notices.append(text)

    def on_end(self, result: Result) -> None:
        self.ends.append(result)

    @property
    def losses(self) -> list[float]:
        return [info.loss for info in self.steps]


def with_train(config: RunConfig, **changes: object) -> RunConfig:
    return replace(config, train=replace(config.train, **changes))  # type: ignore[arg-type]


def test_a_run_leaves_a_folder_with_everything_about_it(folder: Path) -> None:
    told, folder = Told(), folder / "run"
    result = run(replace(TINY, sample=SampleConfig(every=6, n_tokens=5)), folder, [told])
    assert [info.step for info in told.steps] == [1, 2, 3, 4, 5, 6]
    assert [info.step for info in told.evals] == [0, 3, 6]
    assert told.evals[0].validation_loss == pytest.approx(math.log(62), abs=0.3)  # it knows nothing yet
    assert told.steps[0].near_zero.keys() == told.steps[2].near_zero.keys() != set()
    assert told.steps[1].near_zero == {}
    assert told.steps[-1].n_tokens == result.n_tokens == 6 * 4 * 16
    assert len(told.samples[0]) == 1 + 5
    assert told.ends == [result]
    assert (result.stopped_by, result.exit_code) == ("steps", 0)
    assert read_config(folder / "config.toml") == replace(TINY, sample=SampleConfig(every=6, n_tokens=5))
    assert (folder / "latest").read_text() == "step-000006\n"
    assert (
        checkpoint.resolve_pointer(folder, "best") == folder / "checkpoints" / f"step-{result.best_step:06d}"
    )
    facts = json.loads((folder / "run.json").read_text())
    assert len(facts["data_sha256"]["harbour"]) == 64
    assert {path.name for path in folder.iterdir()} == {
        "best", "blueprint.toml", "checkpoints", "config.toml", "latest", "lock", "run.json",
        "tokenizer.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, model=replace(TINY.model, dropout=0.1, attention_dropout=0.1)),
        with_train(TINY, ema_decay=0.9, accumulation_steps=2),
        replace(TINY, optimizer=Muon()),
        replace(TINY, data=DataConfig(order="epochs", tokenizer="bpe", n_vocab=300)),
    ],
    ids=["dropout", "ema", "muon", "epochs"],
)
def test_a_run_repeats_bit_for_bit(folder: Path, config: RunConfig) -> None:
    first, again = Told(), Told()
    run(config, folder / "first", [first])
    run(config, folder / "again", [again])
    assert again.losses == first.losses
    assert [info.validation_loss for info in again.evals] == [info.validation_loss for info in first.evals]
    other = Told()
    run(with_train(config, seed=7), folder / "other", [other])
    assert other.losses != first.losses


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_resumed_run_draws_the_curve_of_the_whole_one(folder: Path, dropout: float) -> None:
    model = replace(TINY.model, dropout=dropout, attention_dropout=dropout)
    config = replace(TINY, schedule=Constant(), model=model)
    whole, parts = Told(), Told()
    run(config, folder / "whole", [whole])
    run(with_train(config, steps=4), folder / "parts", [parts])
    run(config, folder / "parts", [parts], resume=True)
    assert parts.losses == whole.losses
    assert "train.steps is 6 from step 5 on (it was 4)" in parts.notices
    path = "checkpoints/step-000006/weights.safetensors"
    assert (folder / "parts" / path).read_bytes() == (folder / "whole" / path).read_bytes()
    facts = json.loads((folder / "parts/run.json").read_text())
    assert [part["first_step"] for part in facts["parts"]] == [0, 4]


def test_what_was_measured_is_written_down(folder: Path) -> None:
    run(with_train(TINY, precision="auto"), folder / "run")
    assert read_config(folder / "run/config.toml").train.precision in ("float32", "bfloat16")


def test_recomputing_blocks_and_parts_of_a_batch_change_memory_and_not_the_curve(folder: Path) -> None:
    plain, sparing = Told(), Told()
    run(TINY, folder / "plain", [plain])
    spare = replace(
        with_train(TINY, accumulation_steps=4), model=replace(TINY.model, gradient_checkpointing=True)
    )
    run(spare, folder / "sparing", [sparing])
    assert sparing.losses == pytest.approx(plain.losses, rel=1e-5)


def test_blocks_that_are_recomputed_draw_the_same_again_and_dropout_may_change(folder: Path) -> None:
    plain, again = Told(), Told()
    config = replace(TINY, model=replace(TINY.model, dropout=0.2, attention_dropout=0.2))
    run(config, folder / "plain", [plain])
    recomputed = replace(config, model=replace(config.model, gradient_checkpointing=True))
    run(recomputed, folder / "again", [again])
    assert again.losses == plain.losses
    model = replace(recomputed.model, attention_dropout=0.0)
    run(with_train(replace(config, model=model), steps=7), folder / "again", [again], resume=True)
    assert "model.attention_dropout is 0.0 from step 7 on (it was 0.2)" in again.notices


def test_the_averaged_weights_are_the_model(folder: Path) -> None:
    run(with_train(TINY, ema_decay=0.5), folder / "run")
    found, _ = checkpoint.load_newest(folder / "run")
    assert found.raw is not None
    assert found.raw.keys() == found.weights.keys()
    assert not torch.equal(found.raw["embedding.weight"], found.weights["embedding.weight"])


def test_it_stops_when_nothing_gets_better_or_time_is_over(folder: Path) -> None:
    still = replace(
        with_train(TINY, steps=50, early_stopping_patience=2), optimizer=AdamW(learning_rate=1e-30)
    )
    assert (result := run(still, folder / "still")).stopped_by == "early_stopping"
    assert (result.step, result.best_step) == (6, 0)
    short = run(with_train(TINY, steps=10**6, time_budget="0.2s"), folder / "short")
    assert short.stopped_by == "time"
    assert checkpoint.load_newest(folder / "short")[0].state.step == short.step


def test_a_loss_that_is_no_number_names_step_tensor_and_checkpoint(folder: Path) -> None:
    config = replace(with_train(TINY, max_grad_norm=0.0), optimizer=AdamW(learning_rate=1e38))
    with pytest.raises(NotFinite) as caught:
        run(config, folder / "run")
    assert str(caught.value).startswith("step 2: the loss is NaN or infinite, first in ")
    assert str(caught.value).endswith("step-000000; resume from it with --resume")
    assert caught.value.exit_code == 1
    run(replace(config, optimizer=AdamW()), folder / "run", resume=True)  # with a smaller rate it goes on


def test_a_loss_that_runs_away_stops_and_leaves_a_checkpoint_from_before(folder: Path) -> None:
    config = replace(with_train(TINY, steps=200), optimizer=AdamW(learning_rate=3.0), schedule=Constant())
    with pytest.raises(
        Diverged, match=r"the loss diverged: its mean over 20 steps is .*, up from 4\."
    ) as caught:
        run(config, folder / "run")
    assert "the gradient of " in str(caught.value)
    assert str(caught.value).endswith("step-000000; resume from it with --resume")


def test_a_model_that_sees_the_future_is_not_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leak = CausalityViolation("blocks.0", "Block", 0.5, 0.5, 1, 2)
    monkeypatch.setattr("zeropoint.train.run.trainer.check_causality", lambda *args: leak)
    with pytest.raises(
        BadInput, match=r"blocks\.0 \(Block\) lets later tokens through.*check_causality=false"
    ):
        run(with_train(TINY, check_causality=True), folder / "run")
    run(TINY, folder / "run")


@pytest.mark.parametrize(
    "lack",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
    ],
    ids=["torch", "python", "gpu", "cublas", "cuda"],
)
def test_memory_that_is_not_there_is_a_sentence_with_the_last_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lack: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise lack

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


def test_a_signal_while_data_are_prepared_ends_it_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.train.run.run.prepare", lambda *args: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(TINY, folder / "run")


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_used(folder: Path, name: str) -> None:
    run(TINY, folder / "run")
    path = folder / "run/checkpoints/step-000006" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    told = Told()
    run(with_train(TINY, steps=7), folder / "run", [told], resume=True)
    assert f"step-000006/{name} is" in told.notices[0]
    assert told.notices[0].endswith("; resuming from step-000004")
    assert [info.step for info in told.steps] == [5, 6, 7]


def test_without_a_sound_checkpoint_all_are_named(folder: Path) -> None:
    run(TINY, folder / "run")
    for path in checkpoint.list_checkpoints(folder / "run"):
        (path / "optimizer.safetensors").unlink()
    refuse(
        TINY, folder / "run", True, "no checkpoint .*step-000006/opt.* is missing.*step-000004/opt.*new run"
    )


def test_a_checkpoint_of_a_newer_format_is_refused_and_not_passed_over(folder: Path) -> None:
    run(TINY, folder / "run")
    newest, *_ = checkpoint.list_checkpoints(folder / "run")
    manifest = json.loads((newest / "manifest.json").read_text())
    (newest / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    refuse(
        TINY,
        folder / "run",
        True,
        "has format 2, and this zeropoint reads 1; install the version that wrote it",
    )


def test_a_model_that_no_memory_here_can_hold_is_refused_before_it_is_made(folder: Path) -> None:
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
def test_a_gpu_that_is_not_there_is_refused_and_not_looked_for(folder: Path) -> None:
    refuse(
        with_train(TINY, device="cuda"),
        folder / "run",
        False,
        'train.device is "cuda", but .* torch .*"auto"',
    )
    assert run(with_train(TINY, device="auto"), folder / "run").step == 6


@pytest.mark.parametrize("limit_bytes", [0, 10_000, 25_000, 30_000])
def test_a_full_disk_leaves_the_last_good_checkpoint_and_says_so(folder: Path, limit_bytes: int) -> None:
    """A limit on the size of files fails writes as a disk without room does; the optimizer's are large."""
    folder = folder / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run(with_train(TINY, steps=2), folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        with pytest.raises(DiskError, match="not enough space") as caught:
            run(with_train(TINY, steps=4), folder, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    if limit_bytes > 20_000:
        assert "The last good checkpoint is" in str(caught.value)
        assert "step-000002; resume from it with --resume" in str(caught.value)
    kept = {path: path.read_bytes() for path in before if "checkpoints" in path.parts}
    assert kept == {path: content for path, content in before.items() if "checkpoints" in path.parts}
    assert not list(folder.rglob("*.tmp.*"))
    assert run(with_train(TINY, steps=4), folder, resume=True).step == 4


def test_only_the_newest_and_the_best_are_kept(folder: Path) -> None:
    still = replace(with_train(TINY, steps=9), optimizer=AdamW(learning_rate=1e-30))
    run(still, folder / "run")
    names = [path.name for path in checkpoint.list_checkpoints(folder / "run")]
    assert names == ["step-000009", "step-000008", "step-000000"]  # the best is the first


def refuse(config: RunConfig, folder: Path, resume: bool, said: str) -> None:
    with pytest.raises(ZeropointError, match=said) as caught:
        run(config, folder, resume=resume)
    assert caught.value.exit_code == 2


def test_a_folder_that_is_not_for_this_run_is_refused(folder: Path) -> None:
    (folder / "file").write_text("")
    refuse(TINY, folder / "file", False, "is a file; choose a folder")
    refuse(TINY, folder, False, "is not empty .it contains file.; choose an empty or new folder")
    refuse(TINY, folder / "none", True, "holds no checkpoint to resume from")
    refuse(TINY, folder / "file" / "below", False, "cannot be made: Not a directory")
    run(TINY, folder / "run")
    refuse(TINY, folder / "run", False, "holds a run; add --resume")


def test_what_may_not_change_is_refused_by_name(folder: Path) -> None:
    folder, text = folder / "run", folder / "text.txt"
    text.write_text("one and one is two, " * 40)
    config = replace(TINY, data=DataConfig(source=str(text)))
    run(config, folder)
    refuse(
        with_train(config, batch_size=8), folder, True, "train.batch_size is 8 but was 4 when .*step-000006"
    )
    refuse(
        replace(config, model=replace(config.model, d_model=32)),
        folder,
        True,
        "model.d_model is 32 but was 16",
    )
    text.write_text("one and one is too, " * 40)
    refuse(config, folder, True, "text.txt has changed since .*step-000006 was written")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "text.txt holds no text"),
        (b"short", "16"),
        (b"\xff\xfe" + b"x" * 99, "UTF-8"),
        (b"a" * 999, "has one character and no other"),
    ],
    ids=["empty", "shorter than a block", "not UTF-8", "one symbol"],
)
def test_a_text_that_nothing_can_be_learnt_from_is_refused(folder: Path, content: bytes, said: str) -> None:
    text = folder / "text.txt"
    text.write_bytes(content)
    refuse(replace(TINY, data=DataConfig(source=str(text))), folder / "run", False, said)


def test_ids_beyond_the_vocabulary_are_refused_by_the_blueprint_taking_the_tokenizer_s(
    folder: Path,
) -> None:
    """A blueprint's n_vocab gives way to the tokenizer's, so no id is ever outside."""
    config = replace(TINY, model=ModelConfig(blueprint="tiny-gpt"))
    prepared = prepare.prepare(config)
    assert prepared.blueprint.n_vocab == prepared.tokenizer.n_vocab == 62
    assert isinstance(prepared.training, RandomWindows)
    assert Decoder(prepared.blueprint).embedding.weight.shape[0] == 62
