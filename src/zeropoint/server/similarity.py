"""How alike texts are: the cosine of their vectors, for reranking and scoring."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from zeropoint.server.engine_thread import EngineThread
from zeropoint.server.fields import refuse
from zeropoint.server.routes.embeddings import embed

__all__ = ["cosines", "vectors"]


async def vectors(
    thread: EngineThread, texts: Sequence[str], path: str, pooling: str
) -> tuple[list[Any], int]:
    """A vector of length 1 for each text, and the number of tokens in all; other requests go on in between.

    path: the field that holds the texts. Raises ApiError.
    """
    found, n_tokens = [], 0
    for index, text in enumerate(texts):
        if not text:
            raise refuse(f"{path}[{index}]", text, "a text that is not empty")
        vector, n = await thread.call(partial(embed, prompt=text, pooling=pooling))
        found.append(vector)
        n_tokens += n
    return found, n_tokens


def cosines(left: Sequence[Any], right: Sequence[Any]) -> list[float]:
    """The cosine of each pair; a single left vector is compared with every right one."""
    pairs = [(left[0] if len(left) == 1 else left[i], r) for i, r in enumerate(right)]
    return [float(a @ b) for a, b in pairs]
