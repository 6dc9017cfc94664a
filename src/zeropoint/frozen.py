"""`@frozen`: a dataclass whose objects do not change, without code of its own.

`@dataclass(frozen=True)` writes, compiles and runs five functions for every class, which takes a millisecond.
A start makes seventy classes before the first token, and of most no object, so here all share the functions
below. To `fields`, `replace`, `asdict` and `match` they are dataclasses like any other. A class that defines
one of these functions itself keeps it.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    import inspect

__all__ = ["frozen"]

Made = TypeVar("Made")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[Made]) -> type[Made]:
    """The class as a dataclass: its annotated names are its arguments, compared, hashed and shown.

    Raises TypeError for a class whose base is a dataclass: its order of arguments would not be seen.
    """
    if hasattr(cls, "__dataclass_fields__"):
        raise TypeError(f"{cls.__name__} is derived from a dataclass; give it a field of that type instead")
    made = dataclass(init=False, repr=False, eq=False)(cls)
    own = vars(cls).keys()
    for name, shared in _SHARED.items():
        if name not in own:
            setattr(made, name, shared)
    return made


def _init(self: Any, *values: Any, **named: Any) -> None:
    cls = type(self)
    names = cls.__match_args__
    given = dict(zip(names, values, strict=False))
    wrong = next((name for name in named if name not in names or name in given), None)
    if len(values) > len(names) or wrong is not None:
        what = f"{len(values)} values for {len(names)} fields" if wrong is None else f"no place for {wrong!r}"
        raise TypeError(f"{cls.__name__}() got {what}")
    given.update(named)
    for name in names:
        value = given[name] if name in given else _default(cls, name)
        object.__setattr__(self, name, value)
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _default(cls: Any, name: str) -> Any:
    declared = cls.__dataclass_fields__[name]
    if declared.default is not MISSING:
        return declared.default
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    raise TypeError(f"{cls.__name__}() needs {name!r}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple([getattr(self, name) for name in self.__match_args__])


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _setattr(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


class _Signature:
    """What `help` and editors show of the arguments."""

    def __get__(self, _: object, cls: Any) -> inspect.Signature:
        from inspect import Parameter, Signature

        def default(declared: Any) -> Any:
            if declared.default_factory is not MISSING:
                return declared.default_factory
            return Parameter.empty if declared.default is MISSING else declared.default

        declared = [cls.__dataclass_fields__[name] for name in cls.__match_args__]
        kind = Parameter.POSITIONAL_OR_KEYWORD
        return Signature([Parameter(f.name, kind, default=default(f), annotation=f.type) for f in declared])


_SHARED: dict[str, Any] = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__signature__": _Signature(),
}
