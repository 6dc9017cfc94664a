"""Embed texts: one vector for each, from the last hidden states of a decoder.

A model that was not trained for it gives vectors whose cosines order texts only roughly; embedding models say
which pooling they were trained with (Gemma and Qwen embeddings: mean and last).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.errors import BadInput, choices

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.engine.session.model import Model

__all__ = ["POOLINGS", "Pooling", "check_pooling", "embed", "pool"]

Pooling = Literal["mean", "last", "cls"]
POOLINGS: tuple[Pooling, ...] = ("mean", "last", "cls")
_GAIN, _BIAS = "output_norm.weight", "output_norm.bias"


def embed(
    model: Model, texts: Sequence[str | Sequence[int]], pooling: str, normalize: bool
) -> NDArray[np.float32]:
    """One vector per text (or list of token ids): float32 [N, D]. Raises BadInput, ContextFull."""
    import numpy as np

    check_pooling(pooling)
    vectors = np.empty((len(texts), model.blueprint.d_model), np.float32)
    for row, text in enumerate(texts):
        if not len(text):
            raise BadInput(f"text {row + 1} is empty; an embedding needs at least one token")
        point = f"blocks.{model.blueprint.n_layers - 1}.after_ffn"
        states_TD = _final_norm(model, model.trace(text, [point])[point])
        vectors[row] = pool(states_TD, pooling)
    if normalize:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors


def check_pooling(pooling: str) -> None:
    """Raise BadInput for an unknown pooling."""
    if pooling not in POOLINGS:
        raise BadInput(choices("pooling", pooling, POOLINGS))


def pool(states_TD: NDArray[np.float32], pooling: str) -> NDArray[np.float32]:
    """One vector [D] from the hidden states of a text: their mean, that of the last or of the first token."""
    if pooling == "mean":
        mean_D: NDArray[np.float32] = states_TD.mean(axis=0)
        return mean_D
    chosen_D: NDArray[np.float32] = states_TD[-1 if pooling == "last" else 0]
    return chosen_D


def _final_norm(model: Model, x_TD: NDArray[np.float32]) -> NDArray[np.float32]:
    """The final norm, which the engine computes only where it needs logits."""
    import numpy as np

    norm, file = model.blueprint.final_norm, model.file
    if norm is None:
        return x_TD
    if isinstance(norm, LayerNorm):
        x_TD = x_TD - x_TD.mean(axis=-1, keepdims=True)
    x_TD = x_TD / np.sqrt((x_TD**2).mean(axis=-1, keepdims=True) + norm.eps)
    if _GAIN in file.tensors:
        x_TD = x_TD * file.array(_GAIN)
    return x_TD + file.array(_BIAS) if _BIAS in file.tensors else x_TD
