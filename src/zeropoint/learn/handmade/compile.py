"""Compile a handmade program to a blueprint and weight matrices, for either engine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from zeropoint.blueprint import Block, Blueprint, Embedding
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.position import Learned, NoPosition
from zeropoint.errors import BadInput, choices
from zeropoint.learn.handmade.dsl import Layer, Links, Program, position, token

__all__ = ["blueprint", "weights"]

Matrix = NDArray[np.float32]


def blueprint(program: Program) -> Blueprint:
    """An attention-only decoder: no feed-forward, no norms, tied head, bias only on the output projection."""
    d_model = len(program.columns)
    return Blueprint(
        family="zeropoint",
        d_model=d_model,
        n_vocab=len(program.tokens),
        n_ctx=program.n_ctx,
        blocks=tuple(
            Block(Attention(len(layer.heads), len(layer.heads), d_model, bias="output"), ffn=None, norm=None)
            for layer in program.layers
        ),
        final_norm=None,
        embedding=Embedding(position=Learned(program.n_ctx) if program.has_positions else NoPosition()),
    )


def weights(program: Program) -> dict[str, Matrix]:
    """Tensor name -> matrix [out, in], float32. Raises BadInput for an unknown column name."""
    columns = program.columns
    tensors = {"embedding.weight": _one_hot(columns, [token(character) for character in program.tokens])}
    if program.has_positions:
        rows = [position(t) for t in range(program.n_ctx)]
        tensors["embedding.position.weight"] = _one_hot(columns, rows)
    for i, layer in enumerate(program.layers):
        attention = _attention(columns, layer)
        tensors |= {f"blocks.{i}.attention.{name}": matrix for name, matrix in attention.items()}
    return tensors


def _attention(columns: tuple[str, ...], layer: Layer) -> dict[str, Matrix]:
    """Stack the heads along the rows of query, key and value, and along the columns of output."""
    # A query lists the columns to attend to; a key copies those columns of its token.
    queries = [_matrix(columns, head.attends) for head in layer.heads]
    attended = [{to for targets in head.attends.values() for to in targets} for head in layer.heads]
    keys = [_matrix(columns, {to: {to: 1.0} for to in names}) for names in attended]
    return {
        "query.weight": np.concatenate(queries),
        "key.weight": np.concatenate(keys),
        "value.weight": np.concatenate([_matrix(columns, head.reads) for head in layer.heads]),
        "output.weight": np.concatenate([_matrix(columns, head.writes) for head in layer.heads], axis=1),
        "output.bias": _vector(columns, layer.bias),
    }


def _matrix(columns: tuple[str, ...], links: Links) -> Matrix:
    """[out, in]: row `to`, column `from` is the strength of that link."""
    matrix = np.zeros((len(columns), len(columns)), np.float32)
    for source, targets in links.items():
        matrix[:, _index(columns, source)] = _vector(columns, targets)
    return matrix


def _vector(columns: tuple[str, ...], amounts: Mapping[str, float]) -> Matrix:
    vector = np.zeros(len(columns), np.float32)
    for name, amount in amounts.items():
        vector[_index(columns, name)] = amount
    return vector


def _one_hot(columns: tuple[str, ...], names: list[str]) -> Matrix:
    return np.stack([_vector(columns, {name: 1.0}) for name in names])


def _index(columns: tuple[str, ...], name: str) -> int:
    if name not in columns:
        raise BadInput(choices("column", name, columns))
    return columns.index(name)
