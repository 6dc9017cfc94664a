"""The same weights, written to a GGUF file and run by the native engine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.handmade.compile import blueprint
from zeropoint.learn.handmade.evaluate import article_texts, evaluate
from zeropoint.learn.handmade.gguf import write_program
from zeropoint.learn.handmade.programs import program
from zeropoint.weights.gguf.reader import open_gguf

__all__ = ["CLAIM"]


def compute() -> Value:
    """Correct answers, then questions."""
    aab = program("aab")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "aab.gguf"
        write_program(aab, path)
        engine = NativeEngine(open_gguf(path), blueprint(aab), EngineOptions(context=aab.n_ctx, threads=1))

        def run(ids: Sequence[int]) -> NDArray[np.float32]:
            stepper = engine.stepper()
            logits_TV = stepper.extend(ids)
            stepper.close()
            return logits_TV

        accuracy = evaluate(aab, run, article_texts())
        engine.close()
    return float(accuracy.n_correct), float(accuracy.n_total)


CLAIM = Claim(
    number="1b",
    description='handmade transformer on "aab" x 10, from our GGUF file (native engine): correct, total',
    published=(27.0, 27.0),
    source='Theia Vogel, "I made a transformer by hand (no training!)", 2023',
    explained_by="zeropoint trace handmade:aab aabaab",
    compute=compute,
)
