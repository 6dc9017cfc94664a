"""Every matrix of a handmade program's forward pass, with a name for each row and column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput
from zeropoint.learn.handmade.compile import blueprint, weights
from zeropoint.learn.handmade.dsl import Program
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.models.trace import trace

__all__ = ["Matrix", "Run", "run"]


@dataclass(frozen=True)
class Matrix:
    """A named table: `values` [row, column], what it is in words, its tap or parameter name."""

    name: str
    about: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Run:
    """What one text did to a program. steps: weights and what came of them, in the order of the pass.

    text: the last n_ctx characters, which were read. answer: the token after them; right: what should be.
    """

    text: str
    steps: tuple[Matrix, ...]
    answer: str
    right: str


def run(program: Program, text: str, at: int | None = None) -> Run:
    """Trace the program on text. at: cut the text after so many characters; by default read all of it.

    Raises BadInput for no text, a character the program does not know, or a cut outside the text.
    """
    if at is not None and not 1 <= at <= len(text):
        raise BadInput(f"the position is {at}; the text has 1 to {len(text)}")
    asked = text[:at]
    unknown = sorted(set(asked) - set(program.tokens))
    if not asked or unknown:
        what = f"holds {unknown[0]!r}" if unknown else "is empty"
        raise BadInput(f"the text {what}; {program.name} reads one or more of {program.tokens}")
    read = asked[-program.n_ctx :]
    module = cast(Decoder, build(blueprint(program), seed=None))
    load(module, weights(program))
    seen = {name: tensor.numpy() for name, tensor in trace(module, program.ids(read)).items()}
    answer = program.tokens[int(seen["logits"][-1].argmax())]
    return Run(read, tuple(_steps(program, read, seen)), answer, program.answer(asked))


def _steps(program: Program, read: str, seen: dict[str, NDArray[np.float32]]) -> Iterator[Matrix]:
    columns, given = program.columns, weights(program)
    # A token by its place and character: "2:b".
    places = tuple(f"{t}:{character}" for t, character in enumerate(read))
    tokens = tuple(program.tokens)
    yield Matrix("embedding.weight", "a row for each token", tokens, columns, given["embedding.weight"])
    yield Matrix("embedding.output", "what was read, and where", places, columns, seen["embedding.output"])
    for i, layer in enumerate(program.layers):
        at = f"blocks.{i}.attention"
        for h, head in enumerate(layer.heads):
            own = slice(h * len(columns), (h + 1) * len(columns))
            name = f"{at}, head {h}"
            for part, about in (
                ("query", "what a token with this column (across) looks for (down)"),
                ("key", "what a token with this column shows to those who look"),
                ("value", "what is taken from a token with this column"),
            ):
                given_part = given[f"{at}.{part}.weight"][own]
                yield Matrix(f"{name}, {part}.weight", about, columns, columns, given_part)
                yield Matrix(
                    f"{name}, {part}", f"{part} of each token", places, columns, seen[f"{at}.{part}"][h]
                )
            yield Matrix(f"{name}, scores", head.about, places, places, seen[f"{at}.scores"][h])
            yield Matrix(
                f"{name}, weights", "softmax of what may be seen", places, places, seen[f"{at}.weights"][h]
            )
            yield Matrix(f"{name}, mix", "the values in that mixture", places, columns, seen[f"{at}.mix"][h])
        written = given[f"{at}.output.weight"]
        for h, _ in enumerate(layer.heads):
            own = slice(h * len(columns), (h + 1) * len(columns))
            about = "what the mixture (across) writes into the stream (down)"
            yield Matrix(f"{at}, head {h}, output.weight", about, columns, columns, written[:, own])
        bias = given[f"{at}.output.bias"][None]
        yield Matrix(f"{at}.output.bias", "what is written always", ("always",), columns, bias)
        yield Matrix(f"{at}.output", "what attention adds", places, columns, seen[f"{at}.output"])
        after = seen[f"blocks.{i}.after_attention"]
        yield Matrix(f"blocks.{i}.after_attention", "the stream after it", places, columns, after)
    yield Matrix("logits", "how well each token would follow", places, tokens, seen["logits"])
