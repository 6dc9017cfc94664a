"""A model and its answers stay in their process: pickling and copying say what to do instead."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import zeropoint
from zeropoint.errors import BadInput


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_is_not_pickled_or_copied(tiny_path: Path, duplicate: object) -> None:
    with zeropoint.load(tiny_path, threads=1) as model:
        for thing in (model, model.generate("a", max_tokens=1)):
            name = type(thing).__name__
            message = rf"a {name} cannot be pickled or copied, .*; call zeropoint\.load in the other process"
            with pytest.raises(BadInput, match=message):
                duplicate(thing)  # type: ignore[operator]
