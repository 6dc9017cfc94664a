"""A training objective, optimizer, schedule or engine option needs its own file only; all else derives from
it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.option_walks import OPTION_WALKS
from tests.support.tree_copy import probe, run

pytestmark = pytest.mark.process

TRAINING = """
import math
from pathlib import Path
from tests.support.tree import ROOT, load_script
from zeropoint.errors import BadInput
from zeropoint.train.config.io import read_config, config_toml
from zeropoint.train.config.validate import check
from zeropoint.train.run.run import run

sets = [
    "objective.kind=tempered", "optimizer.kind=plain_sgd", "schedule.kind=staircase", "schedule.every=3",
    "model.n_layers=1", "model.n_heads=2", "model.d_model=16", "model.n_ctx=16", "train.batch_size=2",
    "train.steps=4", "eval.every=0", "train.device=cpu", "train.threads=1",
]
config = read_config("harbour", sets)
assert (config.objective.temperature, config.optimizer.learning_rate, config.schedule.every) == (2.0, 0.1, 3)
Path("written.toml").write_text(config_toml(config))
assert read_config(Path("written.toml")) == config
result = run(config, Path("run"))
assert result.step == 4 and math.isfinite(result.validation_loss)

for override in ("objective.temperature=11.0", "optimizer.learning_rate=0.0", "schedule.every=0"):
    try:
        check(read_config("harbour", [*sets, override]))
    except BadInput as error:
        assert override.partition("=")[0] in str(error), error
    else:
        raise AssertionError(override)

pages = {path.stem: text for path, text in load_script(ROOT / "docs" / "generate.py").pages().items()}
for kind, help in (
    ("tempered", "Logits are divided by this."),
    ("plain_sgd", "Step size."),
    ("staircase", "Steps between two falls."),
):
    assert kind in pages["train"] and help in pages["train"], kind
"""

ENGINE = """
import os
from pathlib import Path
from tests.support.tiny import write_tiny_model
from tests.support.tree import ROOT, load_script

write_tiny_model(Path("tiny.gguf"))
with zeropoint.load("tiny.gguf", label="blue") as model:
    assert model.label == "blue"
os.environ["ZEROPOINT_LABEL"] = "red"
with zeropoint.load("tiny.gguf") as model:
    assert model.label == "red"
assert "label: A label for the model" in zeropoint.load.__doc__
pages = {path.stem: text for path, text in load_script(ROOT / "docs" / "generate.py").pages().items()}
assert "ZEROPOINT_LABEL" in pages["settings"] and "--label" in pages["chat"]
"""


def test_training_variants(copy: Path) -> None:
    for name in ("training objective", "optimizer", "schedule"):
        OPTION_WALKS[name].write(copy)
    probe(TRAINING, copy)


def test_an_engine_option(copy: Path) -> None:
    OPTION_WALKS["engine option"].write(copy)
    probe(ENGINE, copy)
    assert "--label" in run([sys.executable, "-m", "zeropoint", "chat", "--help"], copy)
