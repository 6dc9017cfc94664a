"""Handmade programs as matrices, checked with a ten-line numpy transformer, without torch or the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput
from zeropoint.learn.handmade.compile import blueprint, weights
from zeropoint.learn.handmade.dsl import Head, Layer, Program, attend_back, token
from zeropoint.learn.handmade.evaluate import (
    LogitsFunction,
    article_texts,
    complete,
    evaluate,
    predict,
    short_texts,
)
from zeropoint.learn.handmade.programs import names, program


def by_numpy(p: Program) -> LogitsFunction:
    w, d = weights(p), len(p.columns)

    def run(ids: Sequence[int]) -> np.ndarray:
        x = w["embedding.weight"][list(ids)].astype(np.float64)
        if p.has_positions:
            x = x + w["embedding.position.weight"][: len(ids)]
        for i, layer in enumerate(p.layers):
            at = f"blocks.{i}.attention."
            q, k, v = (
                (x @ w[f"{at}{name}.weight"].T).reshape(len(ids), len(layer.heads), d).swapaxes(0, 1)
                for name in ("query", "key", "value")
            )
            scores = q @ k.swapaxes(1, 2) / np.sqrt(d) + np.triu(np.full((len(ids),) * 2, -1e9), 1)
            probabilities = np.exp(scores - scores.max(-1, keepdims=True))
            probabilities /= probabilities.sum(-1, keepdims=True)
            context = (probabilities @ v).swapaxes(0, 1).reshape(len(ids), -1)
            x = x + context @ w[at + "output.weight"].T + w[at + "output.bias"]
        return x @ w["embedding.weight"].T

    return run


@pytest.mark.parametrize("name", names())
def test_weights_match_the_blueprint(name: str) -> None:
    p = program(name)
    assert p.name == name
    assert {key: value.shape for key, value in weights(p).items()} == parameters(blueprint(p))


@pytest.mark.parametrize("name", names())
def test_every_short_text_is_predicted_correctly(name: str) -> None:
    p = program(name)
    accuracy = evaluate(p, by_numpy(p), short_texts(p, min(p.n_ctx, 8)))
    assert accuracy.wrong == ()
    assert accuracy.n_correct == accuracy.n_total > 60


def test_the_texts_of_the_article_are_predicted_correctly() -> None:
    p = program("aab")
    accuracy = evaluate(p, by_numpy(p), article_texts())
    assert (accuracy.n_correct, accuracy.n_total) == (27, 27)
    texts = list(article_texts())
    assert all(p.expected(text) == ("aab" * 10)[len(text)] for text in texts)


def test_the_sizes_match_the_article() -> None:
    p = program("aab")
    b = blueprint(p)
    assert (b.n_ctx, b.n_vocab, b.d_model) == (5, 2, 8)
    assert p.columns == (*(f"position {t}" for t in range(5)), "token a", "token b", "balance")


def test_the_matrices_match_the_article() -> None:
    w = weights(program("aab"))
    query = w["blocks.0.attention.query.weight"]
    assert query[:5, :5].T.tolist() == [
        [1024, 0, 0, 0, 0],
        [1024, 1024, 0, 0, 0],
        [0, 1024, 1024, 0, 0],
        [0, 0, 1024, 1024, 0],
        [0, 0, 0, 1024, 1024],
    ]
    assert w["blocks.0.attention.key.weight"].tolist() == np.diag([1, 1, 1, 1, 1, 0, 0, 0]).tolist()
    assert w["blocks.0.attention.value.weight"][7].tolist() == [0, 0, 0, 0, 0, 1, -1, 0]
    assert w["blocks.0.attention.output.weight"][:, 7].tolist() == [0, 0, 0, 0, 0, -1024, 1024, 0]
    assert w["blocks.0.attention.output.bias"].tolist() == [0, 0, 0, 0, 0, 1024, 0, 0]


@pytest.mark.parametrize(
    ("name", "text", "completed"),
    [("aab", "aab", "aabaabaaba"), ("previous", "ab", "ababab"), ("brackets", "(()(", "(()()).")],
)
def test_completion(name: str, text: str, completed: str) -> None:
    p = program(name)
    assert complete(p, by_numpy(p), text, len(completed) - len(text)) == completed


def test_a_stop_token_ends_a_completion() -> None:
    p = program("brackets")
    assert complete(p, by_numpy(p), "((", 10) == "(())."


def test_an_unknown_character_or_an_empty_text_is_rejected() -> None:
    p = program("aab")
    with pytest.raises(BadInput, match="contains 'x'; aab reads one or more of ab"):
        predict(p, by_numpy(p), "axb")
    with pytest.raises(BadInput, match="is empty"):
        predict(p, by_numpy(p), "")


def test_an_unknown_program_is_named_with_the_closest() -> None:
    with pytest.raises(BadInput, match=r"unknown handmade program `bracket`.*closest: brackets"):
        program("bracket")


def test_an_unknown_column_is_named_with_the_closest() -> None:
    head = Head("", reads={token("a"): {"balanc": 1.0}}, writes={}, attends=attend_back(2, 0))
    p = Program("x", "", "ab", 2, (Layer((head,)),), lambda text: "a", scratch=("balance",))
    with pytest.raises(BadInput, match=r"unknown column `balanc`.*closest: balance"):
        weights(p)
