"""Answer the requests of a batch on a Ray cluster, with Ray Data."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

from zeropoint.server.batch import BatchLine, answer_one, client_of
from zeropoint.server.models import ModelPool

__all__ = ["answers_on_ray"]

_ROWS = 16  # requests that a replica answers together


class _Answerer:
    """A replica: answers some requests at a time."""

    def __init__(self, make_pool: Callable[[], ModelPool]) -> None:
        self._pool = make_pool()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"line": asyncio.run(self._answer([json.loads(request) for request in batch["request"]]))}

    async def _answer(self, requests: list[Any]) -> list[str]:
        async with client_of(self._pool) as client:
            return list(await asyncio.gather(*(answer_one(client, tuple(request)) for request in requests)))


def answers_on_ray(
    requests: Iterator[BatchLine], make_pool: Callable[[], ModelPool], n_replicas: int, n_cpus: int
) -> Iterator[str]:
    """The lines of the output as they come, in any order. A replica that is lost is replaced by Ray."""
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [{"request": json.dumps(request)} for request in requests]
    if not items:
        return
    # Blocks of the right size from the start: a task that divides them would need a processor, and the
    # replicas may have them all.
    rows = ray.data.from_items(items, override_num_blocks=-(-len(items) // _ROWS))
    done = rows.map_batches(
        _Answerer,
        fn_constructor_args=(make_pool,),
        batch_size=_ROWS,
        compute=ray.data.ActorPoolStrategy(size=n_replicas),
        num_cpus=n_cpus,
    )
    for row in done.iter_rows():
        yield str(row["line"])
