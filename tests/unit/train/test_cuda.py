"""Training on a GPU: the losses of a CPU, resuming on either device, and clear errors.

Skipped if torch sees no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

import zeropoint
from tests.support import tiny_pairs
from zeropoint.convert.convert import convert
from zeropoint.decoding.translator import Translator, open_translator
from zeropoint.errors import OutOfMemory
from zeropoint.learn.ladders.published import llama
from zeropoint.learn.ladders.run_ladder import run_ladder, select_rungs
from zeropoint.models.build import build
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.config.config import EvalConfig, ModelConfig, RunConfig, SampleConfig, TrainConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.distributed.ddp_fsdp import DDPGroup
from zeropoint.train.optim.muon import Muon
from zeropoint.train.run.build_model import blueprint_of
from zeropoint.train.run.causality import check_causality
from zeropoint.train.run.run import run
from zeropoint.train.schedules.cosine import Cosine
from zeropoint.weights.run_checkpoint import checkpoint_path

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

GPU = torch.device("cuda")
SMALL = RunConfig(
    model=ModelConfig(n_layers=2, n_heads=2, d_model=32, n_ctx=32),
    train=TrainConfig(steps=20, batch_size=8, checkpoint_every=10, device="cuda"),
    schedule=Cosine(warmup_steps=2, decay_steps=20),
    eval=EvalConfig(every=10, n_batches=2),
    sample=SampleConfig(every=10, n_tokens=8),
)
LLAMA = replace(SMALL, model=replace(SMALL.model, family="llama", n_kv_heads=1, gradient_checkpointing=True))


class Recorder(Callback):
    """Records losses and memory of each step, and all samples."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.memory: list[int] = []
        self.samples: list[str] = []

    def on_step(self, info: StepInfo) -> None:
        self.losses.append(info.loss)
        self.memory.append(info.memory_bytes)

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(text)


def with_train(config: RunConfig, **changes: object) -> RunConfig:
    return replace(config, train=replace(config.train, **changes))  # type: ignore[arg-type]


def curve(config: RunConfig, folder: Path, *, resume: bool = False) -> list[float]:
    recorder = Recorder()
    run(config, folder, [recorder], resume=resume)
    return recorder.losses


def masked(folder: Path) -> RunConfig:
    return read_config("shakespeare-masked", [
        "data.source=harbour", "train.steps=20", "train.device=cuda", "eval.every=0", "eval.n_batches=1",
        "model.dropout=0", "sample.every=20",
    ])  # fmt: skip


def pairs(folder: Path) -> RunConfig:
    made = tiny_pairs.config(tiny_pairs.write_pairs(folder / "pairs"), 20)
    return with_train(replace(made, sample=SampleConfig(every=20)), device="cuda", accumulation_steps=4)


@pytest.mark.parametrize(
    "config",
    [
        lambda folder: SMALL,
        lambda folder: with_train(LLAMA, ema_decay=0.9, accumulation_steps=2),
        masked,
        pairs,
    ],
    ids=["gpt2", "llama", "masked", "pairs"],
)
def test_a_gpu_has_the_losses_of_a_cpu(folder: Path, config: Callable[[Path], RunConfig]) -> None:
    on_gpu, on_cpu = Recorder(), Recorder()
    run(config(folder), folder / "gpu", [on_gpu])
    run(with_train(read_config(folder / "gpu/config.toml"), device="cpu"), folder / "cpu", [on_cpu])
    assert on_gpu.losses == pytest.approx(on_cpu.losses, rel=1e-4)
    assert on_gpu.losses[-1] < on_gpu.losses[0]
    assert len(on_gpu.samples) == len(on_cpu.samples) >= 1
    assert 0 < on_gpu.memory[-1] <= torch.cuda.max_memory_reserved()


@pytest.mark.parametrize("is_compiled", [False, True], ids=["written", "compiled"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_repeats_bit_for_bit(folder: Path, precision: str, is_compiled: bool) -> None:
    """With dropout on the GPU; the caller's random generator stays unchanged."""
    model = replace(SMALL.model, dropout=0.2, attention_dropout=0.2, n_ctx=256)
    config = replace(SMALL, model=model, optimizer=Muon())
    config = with_train(config, precision=precision, compile="always" if is_compiled else "never")
    state = torch.cuda.get_rng_state()
    whole = curve(config, folder / "whole")
    first = curve(with_train(config, steps=10), folder / "parts")
    assert first + curve(config, folder / "parts", resume=True) == whole
    assert torch.equal(state, torch.cuda.get_rng_state())
    path = "checkpoints/step-000020/weights.safetensors"
    assert (folder / "parts" / path).read_bytes() == (folder / "whole" / path).read_bytes()


def test_a_cpu_resumes_and_exports_the_run_of_a_gpu(folder: Path) -> None:
    on_cpu = with_train(SMALL, device="cpu")
    whole = curve(on_cpu, folder / "whole")
    parts = curve(with_train(SMALL, steps=7), folder / "parts")
    parts += curve(with_train(on_cpu, steps=14), folder / "parts", resume=True)
    parts += curve(SMALL, folder / "parts", resume=True)
    assert parts == pytest.approx(whole, rel=1e-4)
    made = convert(checkpoint_path(folder / "parts", "latest"), folder / "model.gguf")
    assert made.was_run
    with zeropoint.load(str(made.path)) as model:
        assert model.generate("The sea", max_tokens=8, temperature=0).text()


def test_auto_precision_is_bfloat16_and_learns(folder: Path) -> None:
    result = run(with_train(SMALL, device="auto", precision="auto", steps=60), folder / "run")
    found = read_config(folder / "run/config.toml").train
    is_there = torch.cuda.is_bf16_supported(including_emulation=False)
    assert (found.device, found.precision) == ("auto", "bfloat16" if is_there else "float32")
    assert result.validation_loss is not None
    assert result.validation_loss < 3.8  # 4.1 before the first step


@pytest.mark.parametrize("config", [SMALL, LLAMA], ids=["gpt2", "llama"])
def test_a_compiled_run_has_the_losses_of_an_eager_one(folder: Path, config: RunConfig) -> None:
    plain = curve(with_train(config, compile="never"), folder / "plain")
    assert curve(with_train(config, compile="always"), folder / "fast") == pytest.approx(plain, rel=1e-4)


@pytest.fixture
def little_memory() -> Iterator[None]:
    torch.cuda.set_per_process_memory_fraction(3e8 / torch.cuda.get_device_properties(GPU).total_memory)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("little_memory")
def test_out_of_gpu_memory_is_one_sentence(folder: Path) -> None:
    with pytest.raises(OutOfMemory, match=r"^not enough memory for step 1; give .*\. No checkpoint"):
        run(with_train(SMALL, batch_size=2**15), folder / "batch")
    wide = replace(SMALL, model=ModelConfig(n_layers=2, n_heads=2, d_model=2048, n_ctx=16))
    with pytest.raises(OutOfMemory, match=r"^not enough memory for the model; give smaller sizes"):
        run(wide, folder / "model")


def test_a_model_that_cannot_fit_the_gpu_is_refused(folder: Path) -> None:
    wide = replace(SMALL, model=ModelConfig(n_layers=96, n_heads=96, d_model=12288, n_ctx=16))
    with pytest.raises(OutOfMemory, match=r"parameters, which take .* and the GPU has .* smaller sizes"):
        run(wide, folder / "run")


def test_leaks_are_found_on_a_gpu() -> None:
    blueprint = blueprint_of(SMALL.model, 65)
    block = blueprint.blocks[0]
    open_block = replace(block, attention=replace(block.attention, is_causal=False))
    assert check_causality(build(blueprint, dropout=0.2, attention_dropout=0.2).to(GPU), 65, 32) is None
    leaky = build(replace(blueprint, blocks=(open_block,))).to(GPU)
    leak = check_causality(leaky, 65, 32)
    assert leak is not None
    assert leak.module == "blocks.0.attention"


def test_ddp_on_a_gpu_has_the_same_losses(folder: Path) -> None:
    """One NCCL worker, because two need two GPUs."""
    dist.init_process_group("nccl", init_method=f"file://{folder}/meeting", rank=0, world_size=1)
    try:
        recorder = Recorder()
        run(with_train(SMALL, accumulation_steps=2), folder / "group", [recorder], group=DDPGroup(GPU))
    finally:
        dist.destroy_process_group()
    assert recorder.losses == pytest.approx(curve(SMALL, folder / "alone"), rel=1e-4)


def test_translation_on_either_device(folder: Path) -> None:
    config = with_train(tiny_pairs.config(tiny_pairs.write_pairs(folder / "pairs"), 100), device="cuda")
    run(config, folder / "run")
    translator = open_translator(folder / "run", "latest")
    sources = [german for german, _ in tiny_pairs.PAIRS]
    there = Translator("there", translator.model.to(GPU), translator.codec).translate(sources)
    assert there == [english for _, english in tiny_pairs.PAIRS]
    here = Translator("here", translator.model.cpu(), translator.codec).translate(sources)
    assert here == there


@pytest.mark.parametrize("name", ["rms-norm", "rope-attention", "cosine"])
def test_a_ladder_has_equal_results_on_either_device(name: str) -> None:
    ids = torch.randint(65, (3000,), generator=torch.Generator().manual_seed(0)).numpy()
    ids[[10, -10, -400]] = 64
    rungs = select_rungs(llama.LADDER, (name,))
    here, there = (next(run_ladder(llama.LADDER, rungs, ids, 0, 3, device=d)) for d in ("cpu", "cuda"))
    assert there.corrected == pytest.approx(here.corrected, abs=0.02)  # dropout differs between devices
    assert (there.leak is None, there.n_unheld) == (here.leak is None, here.n_unheld)
    assert [here.device, there.device] == ["cpu", torch.cuda.get_device_name()]
    assert here.n_weights == there.n_weights
