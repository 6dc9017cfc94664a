"""Handmade programs in torch and, from a GGUF file, in the native engine: every prediction is correct."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from zeropoint import families
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.learn.handmade.compile import blueprint, weights
from zeropoint.learn.handmade.dsl import Program
from zeropoint.learn.handmade.evaluate import LogitsFunction, article_texts, evaluate, short_texts
from zeropoint.learn.handmade.gguf import write_program
from zeropoint.learn.handmade.programs import names, program
from zeropoint.models.build import build, load
from zeropoint.weights.gguf.reader import open_gguf


def by_torch(p: Program) -> LogitsFunction:
    module = build(blueprint(p), seed=None)
    load(module, weights(p))

    def run(ids: object) -> np.ndarray:
        with torch.no_grad():
            return module(torch.tensor([ids]))[0].numpy()

    return run


@pytest.fixture(params=["exact", "fast"])
def native(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[object]:
    engines = []

    def open_program(p: Program) -> LogitsFunction:
        write_program(p, tmp_path / f"{p.name}.gguf")
        file = open_gguf(tmp_path / f"{p.name}.gguf")
        assert families.for_gguf(file).from_gguf(file) == blueprint(p)
        engine = NativeEngine(
            file,
            blueprint(p),
            EngineOptions(context=p.n_ctx, threads=1, exact=request.param == "exact"),
        )
        engines.append(engine)

        def run(ids: object) -> np.ndarray:
            stepper = engine.stepper()
            logits = stepper.extend(ids)
            stepper.close()
            return logits

        return run

    yield open_program
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("name", names())
def test_torch_predicts_every_short_text_correctly(name: str) -> None:
    p = program(name)
    assert evaluate(p, by_torch(p), short_texts(p, min(p.n_ctx, 6))).wrong == ()


@pytest.mark.parametrize("name", names())
def test_native_predicts_every_short_text_correctly(name: str, native) -> None:  # type: ignore[no-untyped-def]
    p = program(name)
    assert evaluate(p, native(p), short_texts(p, min(p.n_ctx, 6))).wrong == ()


def test_the_27_texts_of_the_article_on_both_engines(native) -> None:  # type: ignore[no-untyped-def]
    p = program("aab")
    for model in (by_torch(p), native(p)):
        accuracy = evaluate(p, model, article_texts())
        assert (accuracy.n_correct, accuracy.n_total) == (27, 27)


@pytest.mark.parametrize("name", names())
def test_native_and_torch_give_the_same_logits(name: str, native) -> None:  # type: ignore[no-untyped-def]
    p = program(name)
    ids = p.ids(max(short_texts(p, 5), key=len))
    np.testing.assert_allclose(native(p)(ids), by_torch(p)(ids), rtol=1e-3, atol=1e-3)
