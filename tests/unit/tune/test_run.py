"""The whole route on a tiny model: tune, store, load, merge, export, and the command."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from tests.unit.cli.conftest import Run, isolated_settings, run
from zeropoint.errors import BadInput
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.train.loop.loop import StepResult
from zeropoint.tune.adapters import Adapter
from zeropoint.tune.adapters.freeze import Freeze
from zeropoint.tune.adapters.lora import Lora
from zeropoint.tune.adapters.prefix import PrefixTuning
from zeropoint.tune.export import export_gguf
from zeropoint.tune.objectives import TuningObjective
from zeropoint.tune.objectives.dpo import Dpo
from zeropoint.tune.objectives.kto import Kto
from zeropoint.tune.objectives.sft import SupervisedFineTuning
from zeropoint.tune.peft_layout import load_adapter
from zeropoint.tune.run import TuneConfig, TuneReport, tune
from zeropoint.weights.open_model import open_model

__all__ = ["isolated_settings", "run"]  # fixtures

pytestmark = [pytest.mark.train, pytest.mark.process]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Records that suit every objective."""
    path = tmp_path / "data.jsonl"
    records = [
        {"prompt": f"n{i}", "completion": "yes", "chosen": "yes", "rejected": "no", "label": i % 2 == 0}
        for i in range(24)
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def opened_module(path: Path) -> Decoder:
    opened = open_model(path)
    module = build(opened.blueprint, seed=None)
    load(module, {name: opened.weights[name] for name in dict(module.named_parameters())})
    if not isinstance(module, Decoder):
        raise TypeError(type(module))
    return module.eval()


def test_the_route_from_examples_to_a_merged_file(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    config = TuneConfig(adapter=Lora(rank=4), learning_rate=1e-2, n_epochs=6, n_ctx=64, warmup_steps=2)
    result = tune(tiny_path, data, tmp_path / "run", config)
    assert (result.loss_after or 9) < (result.loss_before or 0) - 1
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, result.step + 1))
    stored = json.loads((tmp_path / "run" / "tune.json").read_text())
    assert stored["config"]["adapter"]["kind"] == "lora"
    assert stored["result"]["trained_parameters"] == result.estimate.n_trained > 0

    ids = torch.arange(20)[None]
    expected = result.model(ids)
    again = opened_module(tiny_path)
    load_adapter(again, tmp_path / "run" / "adapter")
    assert torch.allclose(again.eval()(ids), expected, atol=1e-5)
    written = export_gguf(result.opened, result.model, tmp_path / "merged.gguf", "F32")
    assert written.was_run
    assert torch.allclose(opened_module(written.path)(ids), expected, atol=1e-4)
    assert torch.equal(result.model(ids), expected)  # the export left the module as it was


@pytest.mark.parametrize(
    ("objective", "adapter"),
    [
        (Dpo(), Lora(rank=2)),
        (Kto(), Lora(rank=2)),
        (SupervisedFineTuning(), PrefixTuning(3)),
        (SupervisedFineTuning(), Freeze(1)),
    ],
    ids=["dpo", "kto", "prefix", "freeze"],
)
def test_other_objectives_and_adapters(
    objective: TuningObjective, adapter: Adapter, tiny_path: Path, data: Path, tmp_path: Path
) -> None:
    config = TuneConfig(objective, adapter, learning_rate=5e-3, n_steps=6, n_ctx=64, warmup_steps=1)
    result = tune(tiny_path, data, tmp_path / "run", config)
    assert result.step == 6
    if not isinstance(objective, Kto):  # a single held-out answer has no other prompt to compare with
        assert (result.loss_after or 9) < (result.loss_before or 0)
    if isinstance(adapter, PrefixTuning):
        with pytest.raises(BadInput, match="virtual tokens are not weights"):
            export_gguf(result.opened, result.model, tmp_path / "merged.gguf")
    if isinstance(adapter, Freeze):  # nothing to merge: the trained blocks are written
        written = export_gguf(result.opened, result.model, tmp_path / "merged.gguf", "F32")
        ids = torch.arange(20)[None]
        assert torch.allclose(opened_module(written.path)(ids), result.model(ids), atol=1e-4)


def test_equal_seeds_give_equal_adapters(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        tune(
            tiny_path,
            data,
            tmp_path / name,
            TuneConfig(adapter=Lora(rank=2, dropout=0.1), n_steps=2, n_ctx=64),
        )
        files.append((tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_an_interrupted_run_keeps_what_is_trained(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    class Interrupt(TuneReport):
        def on_step(self, result: StepResult, n_steps: int, seconds: float) -> None:
            if result.step == 2:
                signal.raise_signal(signal.SIGINT)

    config = TuneConfig(adapter=Lora(rank=2), n_steps=50, n_ctx=64)
    result = tune(tiny_path, data, tmp_path / "run", config, Interrupt())
    assert (result.was_stopped, result.step) == (True, 2)
    load_adapter(opened_module(tiny_path), tmp_path / "run" / "adapter")


def test_the_command_ends_with_a_file_that_answers(tiny_path: Path, data: Path, run: Run) -> None:
    tuned = run("tune", str(tiny_path), str(data), "--rank", "2", "--steps", "2", "--context", "64", "--json")
    assert tuned.code == 0, tuned.err
    result = json.loads(tuned.out)
    assert (result["steps"], result["gguf"]) == (2, "runs/data-tuned/data-tuned.gguf")
    assert "2 steps, about" in tuned.err
    assert "step 2/2  loss" in tuned.err
    answer = run("chat", "--model", result["gguf"], "hi", "-n", "3")
    assert answer.code == 0, answer.err
    again = run("tune", str(tiny_path), str(data), "--adapter-only")
    assert (again.code, "not an empty folder" in again.err) == (2, True)


def test_mistakes_of_the_command(tiny_path: Path, data: Path, run: Run) -> None:
    wrong = run("tune", str(tiny_path), str(data), "--adapter", "ia3", "--rank", "4")
    assert wrong.code == 2
    assert "--rank is an option of lora and dora, not of ia3" in wrong.err
    data.write_text('{"prompt": "x"}\n')
    broken = run("tune", "no/such/model", str(data))
    assert broken.code == 2
    assert "data.jsonl: line 1: found `prompt`" in broken.err
