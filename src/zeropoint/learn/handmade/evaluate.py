"""Does a handmade program answer right? Asked of anything that turns ids into logits: torch or native."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput
from zeropoint.learn.handmade.dsl import Program

__all__ = ["LogitsFunction", "Verdict", "article_texts", "complete", "judge", "predict", "short_texts"]

LogitsFunction = Callable[
    [Sequence[int]], NDArray[np.float32]
]  # ids [T] -> logits [T, V] of a fresh sequence


@dataclass(frozen=True)
class Verdict:
    """How many of n_asked were right, and the texts whose answers were not."""

    n_right: int
    n_asked: int
    wrong: tuple[str, ...]


def judge(program: Program, model: LogitsFunction, texts: Iterable[str]) -> Verdict:
    """Ask for the token after each text."""
    asked = list(texts)
    wrong = tuple(text for text in asked if predict(program, model, text) != program.answer(text))
    return Verdict(len(asked) - len(wrong), len(asked), wrong)


def predict(program: Program, model: LogitsFunction, text: str) -> str:
    """The likeliest token after the last n_ctx characters of text. Raises BadInput for unknown characters."""
    unknown = sorted(set(text) - set(program.tokens))
    if not text or unknown:
        what = f"holds {unknown[0]!r}" if unknown else "is empty"
        raise BadInput(f"the text {what}; {program.name} reads one or more of {program.tokens}")
    return program.tokens[int(np.argmax(model(program.ids(text))[-1]))]


def complete(program: Program, model: LogitsFunction, text: str, n_new: int) -> str:
    """text and up to n_new tokens after it, fewer where the program's stop token comes."""
    for _ in range(n_new):
        text += predict(program, model, text)
        if text[-1] == program.stop:
            break
    return text


def article_texts() -> Iterator[str]:
    """The article's 27 questions: "aab" ten times, cut after 2 to 28 characters."""
    whole = "aab" * 10
    return (whole[:i] for i in range(2, 29))


def short_texts(program: Program, longest: int) -> Iterator[str]:
    """Every text of 1 to `longest` characters, without the stop token."""
    characters = program.tokens.replace(program.stop or "", "")
    for length in range(1, longest + 1):
        yield from map("".join, itertools.product(characters, repeat=length))
