"""What a run shows of itself now and then: a text, translations of held-out sentences, gaps filled in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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


def test_held_out_sentences_are_translated_as_the_command_would(tmp_path: Path) -> None:
    """At the interval and at the end; three of the 40 held-out pairs, from all of them, always the same."""
    folder, made = tmp_path / "run", config(write_pairs(tmp_path / "pairs"), 3)
    run(
        replace(made, sample=SampleConfig(every=2)),
        folder,
        [SampleFiles(), MetricsFile(), Report(Callback())],
    )
    first, last = sorted((folder / "samples").iterdir())
    assert (first.name, last.name) == ("step-000002.txt", "step-000003.txt")
    sources, references = zip(PAIRS[0], PAIRS[13], PAIRS[26], strict=True)
    answers = open_translator(folder, "latest").translate(sources)
    blocks = [
        f"source     {source}\nreference  {reference}\nours       {ours}".rstrip()
        for source, reference, ours in zip(sources, references, answers, strict=True)
    ]
    assert last.read_text("utf-8") == "\n\n".join(blocks)
    assert blocks[0] in (folder / "report.html").read_text("utf-8")


def test_a_masked_run_shows_gaps_and_what_it_puts_there() -> None:
    made = masked()
    prepared = prepare(made)
    model = build_model(made, prepared.blueprint, torch.device("cpu"))
    text = sample_text(model, prepared, made.sample, 1)
    blocks = [[line[11:] for line in block.split("\n")] for block in text.split("\n\n")]
    assert len(blocks) == 2
    for hidden, was, ours in blocks:
        assert len(hidden) == len(was) == len(ours) == 64
        assert 0 < hidden.count("_") < 32
        for before, right, said in zip(hidden, was, ours, strict=True):
            assert before in ("_", right)
            assert said == right or before == "_"
    assert model.training
    assert sample_text(model, prepared, made.sample, 2) == text


def masked() -> RunConfig:
    made = read_config("shakespeare-masked", ["data.source=harbour"])
    return replace(
        made,
        train=TrainConfig(batch_size=4),
        eval=EvalConfig(0, 1),
        sample=SampleConfig(every=1, n_examples=2),
    )
