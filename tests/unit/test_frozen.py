"""`@frozen` classes behave like frozen dataclasses without generated code."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass, field
from typing import Any

import pytest

from zeropoint.frozen import frozen


@frozen
class Point:
    """A frozen class."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Oracle:
    """The same class, point by `dataclasses`."""

    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


Oracle.__qualname__ = "Point"


@pytest.mark.parametrize(
    ("values", "named"),
    [((1,), {}), ((1, 3), {}), ((), {"x": 1}), ((1,), {"names": ["a"]}), ((1, 2, ["b"]), {})],
)
def test_it_behaves_like_a_dataclass(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    point, oracle = Point(*values, **named), Oracle(*values, **named)
    assert repr(point) == repr(oracle)
    assert dataclasses.asdict(point) == dataclasses.asdict(oracle)
    assert dataclasses.replace(point, y=9) == Point(point.x, 9, point.names)
    assert copy.deepcopy(point) == point == pickle.loads(pickle.dumps(point))


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})],
)
def test_wrong_arguments_raise_like_a_dataclass(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    for cls in (Oracle, Point):
        with pytest.raises(TypeError):
            cls(*values, **named)


def test_every_object_gets_its_own_default() -> None:
    assert Point(1).names is not Point(1).names


def test_fields_cannot_be_changed_or_deleted() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x


def test_equality_and_hash_compare_values_within_a_class() -> None:
    @frozen
    class Other:
        x: int
        y: int

    @frozen
    class Pair:
        x: int
        y: int

    assert Pair(1, 2) == Pair(1, 2) != Pair(2, 1)
    assert len({Pair(1, 2), Pair(1, 2), Pair(2, 1), Other(1, 2)}) == 3
    assert Pair(1, 2) != Other(1, 2)
    match Pair(1, 2):
        case Pair(x, y):
            assert (x, y) == (1, 2)


def test_a_class_can_define_methods_and_post_init() -> None:
    @frozen
    class Even:
        value: int

        __eq__ = object.__eq__
        __hash__ = object.__hash__

        def __post_init__(self) -> None:
            if self.value % 2:
                raise ValueError("odd")

    assert Even(2) != Even(2)
    with pytest.raises(ValueError, match="odd"):
        Even(3)


def test_the_signature_is_visible() -> None:
    assert list(inspect.signature(Point).parameters) == list(inspect.signature(Oracle).parameters)
    assert inspect.signature(Point).parameters["y"].default == 2


def test_a_dataclass_cannot_be_a_base() -> None:
    with pytest.raises(TypeError, match="derives from a dataclass"):

        @frozen
        class Derived(Point):
            z: int = 0
