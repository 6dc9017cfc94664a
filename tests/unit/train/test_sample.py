"""Samples during training: translations of validation sentences, and filled masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.tiny_pairs import PAIRS, config, write_pairs
from zeropoint.decoding.translator import open_translator
from zeropoint.train.callbacks.callbacks import Callback
from zeropoint.train.callbacks.metrics import MetricsFile, SampleFiles
from zeropoint.train.callbacks.samples import sample_text
from zeropoint.train.config.config import EvalConfig, RunConfig, SampleConfig, TrainConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.report.report import Report
from zeropoint.train.run.build_model import build_model
from zeropoint.train.run.prepare import prepare
from zeropoint.train.run.run import run


@pytest.mark.train
def test_translation_samples_equal_those_of_the_translator(tmp_path: Path) -> None:
    """Sampled at the interval and at the end: three evenly spaced pairs of the 40 in the validation split."""
    folder, run_config = tmp_path / "run", config(write_pairs(tmp_path / "pairs"), 3)
    run(
        replace(run_config, sample=SampleConfig(every=2)),
        folder,
        [SampleFiles(), MetricsFile(), Report(Callback())],
    )
    first, last = sorted((folder / "samples").iterdir())
    assert (first.name, last.name) == ("step-000002.txt", "step-000003.txt")
    sources, references = zip(PAIRS[0], PAIRS[13], PAIRS[26], strict=True)
    answers = open_translator(folder, "latest").translate(sources)
    blocks = [
        f"source     {source}\nreference  {reference}\nmodel      {translation}".rstrip()
        for source, reference, translation in zip(sources, references, answers, strict=True)
    ]
    assert last.read_text("utf-8") == "\n\n".join(blocks)
    assert blocks[0] in (folder / "report.html").read_text("utf-8")


def test_a_masked_model_fills_its_masks() -> None:
    run_config = masked()
    prepared = prepare(run_config)
    model = build_model(run_config, prepared.blueprint, torch.device("cpu"))
    text = sample_text(model, prepared, run_config.sample, 1)
    blocks = [[line[11:] for line in block.split("\n")] for block in text.split("\n\n")]
    assert len(blocks) == 2
    for masked_text, original, filled in blocks:
        assert len(masked_text) == len(original) == len(filled) == 64
        assert 0 < masked_text.count("_") < 32
        for shown, correct, predicted in zip(masked_text, original, filled, strict=True):
            assert shown in ("_", correct)
            assert predicted == correct or shown == "_"
    assert model.training
    assert sample_text(model, prepared, run_config.sample, 2) == text


def masked() -> RunConfig:
    base = read_config("shakespeare-masked", ["data.source=harbour"])
    return replace(
        base,
        train=TrainConfig(batch_size=4),
        eval=EvalConfig(0, 1),
        sample=SampleConfig(every=1, n_examples=2),
    )
