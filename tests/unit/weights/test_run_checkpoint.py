"""Opening a training run's checkpoint as a model, its errors, and the family it is exported as."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny_run import TINY_RUNS, add_checkpoint, write_tiny_run
from zeropoint.blueprint.parts.position import Alibi
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.weights.export_variants import export_variant
from zeropoint.weights.open_model import open_model
from zeropoint.weights.run_checkpoint import checkpoint_path, find_checkpoint

LLAMA = TINY_RUNS["llama"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Checkpoints of steps 4 and 8; the first is the best."""
    write_tiny_run(tmp_path / "run", LLAMA)
    add_checkpoint(tmp_path / "run", LLAMA, 8)
    (tmp_path / "run" / "best").write_text("step-000004\n")
    return tmp_path / "run"


def test_the_last_the_best_or_a_step(run: Path) -> None:
    last, best = (run / "checkpoints" / f"step-{step:06d}" for step in (8, 4))
    assert checkpoint_path(run) == find_checkpoint(run) == find_checkpoint(run / "latest") == last
    assert checkpoint_path(run, "best") == find_checkpoint(run / "best") == best
    assert checkpoint_path(run, 4) == find_checkpoint(best) == best
    for path in (run / "checkpoints", run / "run.json", run.parent, run / "nothing"):
        assert find_checkpoint(path) is None
    with pytest.raises(BadInput, match="no checkpoint `7`; give latest, best or one of 4, 8"):
        checkpoint_path(run, 7)


def test_weights_come_from_the_checkpoint(run: Path) -> None:
    model = add_checkpoint(run, LLAMA, 12)
    opened = open_model(run)
    expected = dict(model.named_parameters())["blocks.1.ffn.up.weight"].detach().numpy()
    assert np.array_equal(opened.weights["blocks.1.ffn.up.weight"], expected)
    assert opened.blueprint == LLAMA


def test_errors_name_the_damaged_file(run: Path) -> None:
    weights = run / "checkpoints" / "step-000008" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadModelFile, match=r"step-000008/weights\.safetensors is damaged"):
        open_model(run)
    open_model(run / "best")
    (run / "latest").write_text("../../elsewhere")
    with pytest.raises(BadModelFile, match="latest does not name a checkpoint"):
        open_model(run)
    (run / "blueprint.toml").write_text("version = 1\n")
    with pytest.raises(BadInput, match=r"blueprint\.toml: `family` is missing"):
        open_model(run / "best")


def test_a_run_without_a_checkpoint_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(BadInput, match=f"has no checkpoint yet; .* --out {re.escape(str(tmp_path))}"):
        open_model(tmp_path)


def test_a_bias_free_gpt2_is_exported_with_zero_biases(tmp_path: Path) -> None:
    write_tiny_run(tmp_path / "run", TINY_RUNS["gpt2"])
    notices: list[str] = []
    exported = export_variant(open_model(tmp_path / "run"), "gguf", notices.append)
    assert notices == []
    assert exported.family.__name__.endswith(".gpt2")
    assert not exported.weights["blocks.0.attention.query.bias"].any()
    assert exported.blueprint.n_vocab == TINY_RUNS["gpt2"].n_vocab


def test_a_gpt2_with_exact_gelu_says_how_to_share_it(tmp_path: Path) -> None:
    blocks = tuple(
        replace(block, ffn=replace(block.ffn, activation="gelu")) for block in TINY_RUNS["gpt2"].blocks
    )
    write_tiny_run(tmp_path / "run", replace(TINY_RUNS["gpt2"], blocks=blocks))
    notices: list[str] = []
    export_variant(open_model(tmp_path / "run"), "gguf", notices.append)
    assert "--hf" in notices[0]
    assert "--set model.activation=gelu_tanh" in notices[0]


def test_a_model_of_no_family_is_exported_in_our_own_format(tmp_path: Path) -> None:
    block = replace(LLAMA.blocks[0], attention=replace(LLAMA.blocks[0].attention, position=Alibi()))
    blueprint = replace(LLAMA, blocks=(block, block))
    write_tiny_run(tmp_path / "run", blueprint)
    notices: list[str] = []
    exported = export_variant(open_model(tmp_path / "run"), "gguf", notices.append)
    assert exported.family.__name__.endswith(".zeropoint")
    assert exported.blueprint == blueprint
    assert "only zeropoint can open this file" in notices[0]
    with pytest.raises(BadInput, match="cannot become a Hugging Face folder"):
        export_variant(open_model(tmp_path / "run"), "hf", notices.append)
