"""Training on own files: the same losses from the files, from prepared shards, and after a resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from zeropoint.data.prepare import prepare
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput
from zeropoint.train.callbacks.callbacks import Callback, StepInfo
from zeropoint.train.config.config import DataConfig, EvalConfig, ModelConfig, RunConfig, TrainConfig
from zeropoint.train.run.run import run
from zeropoint.train.schedules.constant import Constant


class Losses(Callback):
    """Records the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step(self, info: StepInfo) -> None:
        self.losses.append(info.loss)


def trained(config: RunConfig, folder: Path, resume: bool = False) -> list[float]:
    recorder = Losses()
    run(config, folder, [recorder], resume=resume)
    return recorder.losses


@pytest.mark.train
def test_files_shards_and_a_resume_give_the_same_losses(folder: Path) -> None:
    stories = folder / "stories.jsonl"
    lines = [json.dumps({"story": f"Boat {n} came in at {n % 12} o'clock."}) for n in range(60)]
    stories.write_text("\n".join(lines))
    how = DataConfig(str(stories), field="story", order="epochs")
    config = RunConfig(
        model=ModelConfig(n_layers=1, n_heads=2, d_model=16, n_ctx=16),
        data=how,
        train=TrainConfig(steps=40, batch_size=4, checkpoint_every=20, device="cpu", check_causality=False),
        schedule=Constant(),
        eval=EvalConfig(every=0, n_batches=1),
    )
    whole = trained(config, folder / "whole")
    prepare(stories, folder / "shards", TokenizeOptions(field="story"), shard_tokens=300)
    of_shards = replace(config, data=DataConfig(str(folder / "shards"), order="epochs"))
    assert trained(of_shards, folder / "of_shards") == whole
    half = replace(of_shards, train=replace(config.train, steps=20))
    assert trained(half, folder / "parts") == whole[:20]
    assert trained(of_shards, folder / "parts", resume=True) == whole[20:]
    stories.write_text("\n".join(lines[1:]))
    with pytest.raises(BadInput, match=r"stories\.jsonl .* changed after"):
        trained(of_shards, folder / "parts", resume=True)
