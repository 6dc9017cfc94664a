"""Distributed runs match one process, and any number of workers can resume them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.support.process_group import Curve, losses, train_together, validation_losses
from zeropoint.convert.convert import convert
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.train.checkpoints import checkpoint
from zeropoint.train.checkpoints.sharded import shard_files
from zeropoint.train.config.config import RunConfig, TrainConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.config.validate import check
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, SingleProcess, local_rows
from zeropoint.train.optim.muon import Muon
from zeropoint.train.run.run import run
from zeropoint.weights.open_model import open_model
from zeropoint.weights.run_checkpoint import open_checkpoint

CONFIG = """
[model]
n_layers = 2
n_heads = 2
d_model = 16
n_ctx = 16
[data]
source = "harbour"
[train]
steps = {steps}
batch_size = 5
checkpoint_every = 6
ema_decay = 0.9
threads = 1
max_checkpoints = 5
sharding = "{sharding}"
[schedule]
decay_steps = 12
[eval]
every = 6
n_batches = 2
[sample]
every = 6
n_tokens = 3
"""


def config(folder: Path, steps: int, sharding: str = "none") -> Path:
    path = folder / f"{steps}-{sharding}.toml"
    path.write_text(CONFIG.format(steps=steps, sharding=sharding))
    return path


def worker(rank: int, n_workers: int) -> SingleProcess:
    group = SingleProcess()
    group.rank, group.n_workers = rank, n_workers
    return group


def test_every_row_belongs_to_one_worker() -> None:
    for n_rows, n_workers in ((5, 2), (12, 4), (7, 7), (9, 4)):
        taken = [list(range(n_rows))[local_rows(n_rows, worker(r, n_workers))] for r in range(n_workers)]
        assert [row for rows in taken for row in rows] == list(range(n_rows))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1
    assert local_rows(8, SINGLE_PROCESS) == slice(0, 8)


@pytest.mark.train
def test_two_workers_with_unequal_rows_match_one_process(tmp_path: Path) -> None:
    """Resumed twice: two DDP workers, then FSDP, then one process."""
    whole = read_config(config(tmp_path, 12))
    run(whole, tmp_path / "one", [Curve(tmp_path / "one")])
    train_together([config(tmp_path, 6), config(tmp_path, 9, "fsdp")], tmp_path / "two", 2)
    run(whole, tmp_path / "two", [Curve(tmp_path / "two")], resume=True)

    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(one) == list(two) == list(range(1, 13))
    assert max(abs(one[step] - two[step]) for step in one) < 1e-5
    expected, found = validation_losses(tmp_path / "one"), validation_losses(tmp_path / "two")
    assert all(found[step] == pytest.approx(expected[step], abs=1e-5) for step in (0, 6, 12))

    # A checkpoint of FSDP workers can be exported and run.
    made = convert(tmp_path / "two/checkpoints/step-000009", tmp_path / "two.gguf", notify=lambda _: None)
    assert made.was_run
    (name,) = (n for n in open_model(made.path).weights if n.endswith("1.attention.query.weight"))
    expected_weight = checkpoint.load(tmp_path / "two/checkpoints/step-000009").weights[name]
    assert torch.equal(torch.from_numpy(open_model(made.path).weights[name].copy()), expected_weight)

    # A sharded checkpoint opens like any other, and a damaged shard is named.
    path = tmp_path / "two/checkpoints/step-000006"
    assert len(list(path.glob("weights-*-of-00002.safetensors"))) == 2
    read = checkpoint.load(path)
    stored = open_checkpoint(path).stored
    for name, weight in read.weights.items():
        assert torch.equal(torch.from_numpy(stored.array(name)), weight)
    assert json.loads((path / "manifest.json").read_text())["sha256"].keys() >= {"state.json"}
    share = path / "weights-00002-of-00002.safetensors"
    share.write_bytes(share.read_bytes()[:-1] + b"x")
    with pytest.raises(BadModelFile, match="weights-00002-of-00002"):
        checkpoint.load(path)
    with pytest.raises(BadModelFile, match="weights-00002-of-00002"):
        open_checkpoint(path)


def test_a_missing_shard_makes_the_set_incomplete() -> None:
    names = {f"weights-0000{i}-of-00003.safetensors" for i in (1, 2, 3)} | {"state.json"}
    assert shard_files("weights", names) == sorted(names - {"state.json"})
    assert shard_files("weights", names - {"weights-00002-of-00003.safetensors"}) == []
    assert shard_files("weights", names - {"weights-00003-of-00003.safetensors"}) == []
    assert shard_files("weights", {"weights.safetensors"}) == ["weights.safetensors"]
    assert shard_files("raw", names) == []


def test_batches_and_optimizers_that_cannot_be_distributed_are_refused() -> None:
    with pytest.raises(BadInput, match="fewer workers"):
        check(RunConfig(train=TrainConfig(batch_size=3)), 4)
    with pytest.raises(BadInput, match="equal sizes"):
        check(RunConfig(train=TrainConfig(batch_size=6, accumulation_steps=3, sharding="fsdp")), 4)
    with pytest.raises(BadInput, match="needs full weight matrices"):
        check(RunConfig(train=TrainConfig(sharding="fsdp"), optimizer=Muon()), 2)
    check(RunConfig(train=TrainConfig(batch_size=5)), 2)
