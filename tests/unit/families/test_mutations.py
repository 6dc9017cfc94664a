"""Each metadata key of each family with values that it cannot mean: read, or one sentence about the file."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.unit.families.configs import SMALL
from zeropoint import families
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.check import check
from zeropoint.blueprint.sources import stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.weights.gguf.model import GgufModel

MISSING = object()
VALUES = (MISSING, 0, -1, 2**40, 1.5, math.nan, math.inf, "x", True, [], [1], ["x"], [-1] * 3, [2**40] * 4)
CONFIG_VALUES = (*VALUES, None, 10**30, 1e300, {}, {"a": 1}, [[1]])


def changed(mapping: Mapping[str, Any], values: tuple[Any, ...]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """The mapping with another value for one key, which may be a key of a mapping inside it."""
    for key, original in mapping.items():
        rest = {name: value for name, value in mapping.items() if name != key}
        for value in values:
            yield key, value, rest if value is MISSING else rest | {key: value}
        if isinstance(original, dict):
            for inner_key, value, inner in changed(original, values):
                yield f"{key}.{inner_key}", value, rest | {key: inner}


def surprises(
    mapping: Mapping[str, Any], values: tuple[Any, ...], read: Callable[[dict[str, Any]], Blueprint]
) -> Iterator[str]:
    """What is neither a valid blueprint nor an error in one sentence."""
    for key, value, mutated in changed(mapping, values):
        try:
            check(read(mutated))
        except (BadInput, BadModelFile) as error:
            if "\n" in str(error) or len(str(error)) > 500:
                yield f"{key}={value}: a message of {len(str(error))} characters"
        except Exception as error:
            yield f"{key}={value}: {error!r}"


class File(GgufModel):
    """A GGUF file whose tensors have shapes, and values where a family reads them."""

    arrays: Mapping[str, np.ndarray]

    def array(self, name: str) -> np.ndarray:
        return self.arrays[name]


@pytest.mark.parametrize("name", SMALL)
def test_a_config_with_a_wrong_value_is_read_or_rejected_in_a_sentence(name: str) -> None:
    config = SMALL[name]
    family = families.for_hf(config)
    assert not list(surprises(config, CONFIG_VALUES, family.from_hf))


@pytest.mark.parametrize("name", SMALL)
def test_metadata_with_a_wrong_value_is_read_or_rejected_in_a_sentence(name: str) -> None:
    blueprint = families.for_hf(SMALL[name]).from_hf(SMALL[name])
    family = families.for_blueprint(blueprint)
    try:
        metadata = family.to_gguf(blueprint)
    except BadInput as error:
        pytest.skip(str(error))
    shapes = parameters(blueprint)
    sources = family.tensor_map(blueprint, "gguf")
    arrays = {key: np.array(values, np.float32) for key, values in family.gguf_tensors(blueprint).items()}
    tensors = {stored: shapes[ours] for ours, source in sources.items() for stored in stored_names(source)}
    tensors |= {key: array.shape for key, array in arrays.items()}

    def read(mutated: dict[str, Any]) -> Blueprint:
        infos: Any = {key: SimpleNamespace(shape=shape) for key, shape in tensors.items()}
        file = File((Path("toy.gguf"),), mutated, infos, 10**9)
        object.__setattr__(file, "arrays", arrays)
        return families.for_gguf(file).from_gguf(file)

    assert not list(surprises(metadata, VALUES, read))
