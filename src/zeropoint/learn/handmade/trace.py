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
from zeropoint.learn.handmade.evaluate import check_text
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.models.trace import trace

__all__ = ["Matrix", "ProgramTrace", "trace_program"]


@dataclass(frozen=True)
class Matrix:
    """A labelled matrix: `values` [row, column]. name: of the tap or parameter. description: its meaning."""

    name: str
    description: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class ProgramTrace:
    """One forward pass. steps: weights and activations, in the order of the pass.

    text: the last n_ctx characters, which the model reads. prediction: the token it predicts; expected: the
    correct one.
    """

    text: str
    steps: tuple[Matrix, ...]
    prediction: str
    expected: str


def trace_program(program: Program, text: str, n_characters: int | None = None) -> ProgramTrace:
    """Run the program on text, or on its first n_characters, and record every matrix.

    Raises BadInput for an empty text, an unknown character, or n_characters outside the text.
    """
    if n_characters is not None and not 1 <= n_characters <= len(text):
        raise BadInput(f"--at is {n_characters}; expected 1 to {len(text)}, the length of the text")
    text = text[:n_characters]
    check_text(program, text)
    context = text[-program.n_ctx :]
    module = cast(Decoder, build(blueprint(program), seed=None))
    load(module, weights(program))
    taps = {name: tensor.numpy() for name, tensor in trace(module, program.ids(context)).items()}
    prediction = program.tokens[int(taps["logits"][-1].argmax())]
    return ProgramTrace(context, tuple(_steps(program, context, taps)), prediction, program.expected(text))


def _steps(program: Program, context: str, taps: dict[str, NDArray[np.float32]]) -> Iterator[Matrix]:
    columns, parameters = program.columns, weights(program)
    rows = tuple(f"{t}:{character}" for t, character in enumerate(context))  # "2:b": b at position 2
    tokens = tuple(program.tokens)
    embedding = parameters["embedding.weight"]
    yield Matrix("embedding.weight", "one row per token", tokens, columns, embedding)
    yield Matrix("embedding.output", "token plus position embedding", rows, columns, taps["embedding.output"])
    for i, layer in enumerate(program.layers):
        at = f"blocks.{i}.attention"
        for h, head in enumerate(layer.heads):
            head_rows = slice(h * len(columns), (h + 1) * len(columns))
            name = f"{at}, head {h}"
            for part, description in (
                ("query", "column of a token (across) -> what it attends to (down)"),
                ("key", "column of a token (across) -> what it offers (down)"),
                ("value", "column of a token (across) -> what the head reads (down)"),
            ):
                weight = parameters[f"{at}.{part}.weight"][head_rows]
                yield Matrix(f"{name}, {part}.weight", description, columns, columns, weight)
                yield Matrix(
                    f"{name}, {part}", f"{part} of each token", rows, columns, taps[f"{at}.{part}"][h]
                )
            yield Matrix(f"{name}, scores", head.description, rows, rows, taps[f"{at}.scores"][h])
            yield Matrix(
                f"{name}, weights", "softmax of the causal scores", rows, rows, taps[f"{at}.weights"][h]
            )
            yield Matrix(
                f"{name}, context", "weighted average of the values", rows, columns, taps[f"{at}.context"][h]
            )
        output = parameters[f"{at}.output.weight"]
        for h, _ in enumerate(layer.heads):
            head_columns = slice(h * len(columns), (h + 1) * len(columns))
            description = "value (across) -> added to the residual stream (down)"
            yield Matrix(
                f"{at}, head {h}, output.weight", description, columns, columns, output[:, head_columns]
            )
        bias = parameters[f"{at}.output.bias"][None]
        yield Matrix(f"{at}.output.bias", "added to every token", ("all",), columns, bias)
        yield Matrix(f"{at}.output", "what attention adds", rows, columns, taps[f"{at}.output"])
        residual = taps[f"blocks.{i}.after_attention"]
        yield Matrix(
            f"blocks.{i}.after_attention", "residual stream after attention", rows, columns, residual
        )
    yield Matrix("logits", "score of each next token", rows, tokens, taps["logits"])
