"""Evaluate a handmade program with any function from ids to logits: torch, numpy or the native engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput
from zeropoint.learn.handmade.dsl import Program

__all__ = [
    "Accuracy",
    "LogitsFunction",
    "article_texts",
    "check_text",
    "complete",
    "evaluate",
    "predict",
    "short_texts",
]

LogitsFunction = Callable[
    [Sequence[int]], NDArray[np.float32]
]  # ids [T] -> logits [T, V], from an empty context


@dataclass(frozen=True)
class Accuracy:
    """How many of n_total predictions were correct, and the texts whose predictions were wrong."""

    n_correct: int
    n_total: int
    wrong: tuple[str, ...]


def evaluate(program: Program, model: LogitsFunction, texts: Iterable[str]) -> Accuracy:
    """Predict the token after each text and compare it with the program's expected token."""
    texts = list(texts)
    wrong = tuple(text for text in texts if predict(program, model, text) != program.expected(text))
    return Accuracy(len(texts) - len(wrong), len(texts), wrong)


def predict(program: Program, model: LogitsFunction, text: str) -> str:
    """The likeliest token after the last n_ctx characters of text. Raises BadInput for unknown characters."""
    check_text(program, text)
    return program.tokens[int(np.argmax(model(program.ids(text))[-1]))]


def check_text(program: Program, text: str) -> None:
    """Raise BadInput for an empty text or a character that is not in the program's vocabulary."""
    unknown = sorted(set(text) - set(program.tokens))
    if not text or unknown:
        problem = f"contains {unknown[0]!r}" if unknown else "is empty"
        raise BadInput(f"the text {problem}; {program.name} reads one or more of {program.tokens}")


def complete(program: Program, model: LogitsFunction, text: str, n_tokens: int) -> str:
    """text plus up to n_tokens predicted tokens; the program's stop token ends it early."""
    for _ in range(n_tokens):
        text += predict(program, model, text)
        if text[-1] == program.stop:
            break
    return text


def article_texts() -> Iterator[str]:
    """The article's 27 test texts: "aab" ten times, cut after 2 to 28 characters."""
    text = "aab" * 10
    return (text[:i] for i in range(2, 29))


def short_texts(program: Program, max_length: int) -> Iterator[str]:
    """Every text of 1 to max_length characters, without the stop token."""
    characters = program.tokens.replace(program.stop or "", "")
    for length in range(1, max_length + 1):
        yield from map("".join, itertools.product(characters, repeat=length))
