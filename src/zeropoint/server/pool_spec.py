"""`PoolSpec`: what another process or machine needs to load the same models."""

from __future__ import annotations

from zeropoint.engine_options import EngineOptions
from zeropoint.frozen import frozen
from zeropoint.server.engine_thread import AnyModel
from zeropoint.server.models import ModelPool, PoolLimits

__all__ = ["PoolSpec"]


@frozen
class PoolSpec:
    """Call it to make the pool. names: of the models, as `zeropoint.load` takes them on that machine."""

    names: tuple[str, ...]
    options: EngineOptions
    limits: PoolLimits

    def __call__(self) -> ModelPool:
        """A pool that loads the models quietly."""
        return ModelPool(list(self.names), self._load, self.limits)

    def _load(self, name: str) -> AnyModel:
        from zeropoint.engine.session.load import load

        return load(name, self.options, will_chat=True)
