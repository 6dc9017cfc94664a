"""A tiny parallel corpus, in which every word has one translation, and a run that learns it."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import replace
from pathlib import Path

from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.run.run import run

__all__ = ["PAIRS", "config", "train_tiny", "write_pairs"]

_WORDS = {
    "Ein": "A", "Kein": "No", "Hund": "dog", "Vogel": "bird", "Bär": "bear", "Fisch": "fish", "sieht": "sees",
    "hört": "hears", "ein": "a", "Tier": "beast",
}  # fmt: skip


def _sentences() -> list[tuple[str, str]]:
    starts = itertools.product(("Ein", "Kein"), ("Hund", "Vogel", "Bär", "Fisch"))
    ends = ("", "sieht", "hört", "sieht ein Tier", "hört ein Tier")
    german = [f"{article} {noun} {end}".split() for (article, noun), end in itertools.product(starts, ends)]
    return [(" ".join(words), " ".join(_WORDS[word] for word in words)) for words in german]


PAIRS = _sentences()


def write_pairs(folder: Path) -> Path:
    """Write train, val (identical) and test (every third pair), in German and English, train compressed."""
    folder.mkdir()
    parts = {"train": PAIRS, "val": PAIRS, "test": PAIRS[::3]}
    for (part, pairs), side in itertools.product(parts.items(), (0, 1)):
        text = "".join(pair[side] + "\n" for pair in pairs).encode()
        name = f"{part}.{('de', 'en')[side]}"
        if part == "train":
            (folder / f"{name}.gz").write_bytes(gzip.compress(text))
        else:
            (folder / name).write_bytes(text)
    return folder


def config(folder: Path, n_steps: int) -> RunConfig:
    """The preset multi30k at a size that learns these pairs in seconds."""
    preset = read_config("multi30k", [
        f"data.source={folder}", "data.tokenizer=words", "train.batch_size=20", f"train.steps={n_steps}",
        "train.precision=float32", "train.device=cpu", "train.checkpoint_every=20",
        "schedule.warmup_steps=5", "eval.every=0", "eval.n_batches=2", "optimizer.learning_rate=1e-2",
        "model.dropout=0.0",
    ])  # fmt: skip
    blueprint = preset.model.blueprint.replace("256", "32").replace("n_heads = 4", "n_heads = 2")
    blueprint = blueprint.replace("n_kv_heads = 4", "n_kv_heads = 2").replace("d_head = 64", "d_head = 16")
    blueprint = blueprint.replace("d_ff = 512", "d_ff = 64").replace("count = 3", "count = 2")
    return replace(
        preset, model=replace(preset.model, blueprint=blueprint.replace("scale = 16.0", "scale = 5.6"))
    )


def train_tiny(folder: Path, n_steps: int = 100) -> Path:
    """Train a run in folder / "run" on folder / "pairs"."""
    run(config(write_pairs(folder / "pairs"), n_steps), folder / "run")
    return folder / "run"
