"""Keeps the cached beginnings of recent conversations over a restart: their next turns start at once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

from zeropoint.engine.session.model import Model
from zeropoint.errors import ZeropointError
from zeropoint.files.paths import display_path

__all__ = ["PrefixStore", "RecentTexts"]

_LOG = logging.getLogger("zeropoint.server")
_MAX_TEXTS = 16
_MIN_TOKENS = 64  # a shorter text is read again in no time


class RecentTexts:
    """The token ids of the latest conversations, each once: a longer one replaces its beginning."""

    def __init__(self) -> None:
        self.texts: list[list[int]] = []

    def add(self, ids: Sequence[int]) -> None:
        """Remember a prompt and its answer."""
        if len(ids) < _MIN_TOKENS:
            return
        others = [text for text in self.texts if text != list(ids[: len(text)])]
        self.texts = [*others, list(ids)][-_MAX_TEXTS:]


class PrefixStore:
    """A folder with one file for each text. Files of another model or cache type are left alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, model: Model, recent: RecentTexts) -> None:
        """Replace the files of a model by those of its recent texts."""
        former = set(self._paths(model))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for number, ids in enumerate(recent.texts):
                path = self._folder / f"{_name(model)}-{number:02}.zpcache"
                if model.save_cache(ids, path) >= _MIN_TOKENS:
                    former.discard(path)
            for path in former:
                path.unlink(missing_ok=True)
        except (ZeropointError, OSError) as error:
            _LOG.warning("the prefixes of %s are not kept: %s", model.name, error)

    def load(self, model: Model, recent: RecentTexts) -> None:
        """Restore the texts of a model, the latest last."""
        for path in self._paths(model):
            try:
                recent.add(model.load_cache(path))
            except ZeropointError as error:
                _LOG.warning("%s is ignored: %s", display_path(path), error)

    def _paths(self, model: Model) -> list[Path]:
        return sorted(self._folder.glob(f"{_name(model)}-[0-9][0-9].zpcache"))


def _name(model: Model) -> str:
    """Models and cache types do not share files."""
    key = f"{model.name}\0{model.engine.fingerprint}\0{model.engine.cache_name}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]
