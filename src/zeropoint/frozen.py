"""`@frozen`: an immutable dataclass without generated code, to start faster.

`@dataclass(frozen=True)` generates and compiles five functions per class, which takes about 1 ms. Start-up
defines seventy classes before the first token and instantiates few of them, so all share the functions below.
`fields`, `replace`, `asdict` and `match` work as with any dataclass. A class can define these functions
itself.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    import inspect

__all__ = ["frozen"]

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[Class]) -> type[Class]:
    """Make a class an immutable dataclass; its annotated names are its fields.

    Raises TypeError for a class that derives from a dataclass, since the order of its fields would be
    unclear.
    """
    if hasattr(cls, "__dataclass_fields__"):
        raise TypeError(f"{cls.__name__} derives from a dataclass; give it a field of that type instead")
    frozen_class = dataclass(init=False, repr=False, eq=False)(cls)
    own = vars(cls).keys()
    for name, shared in _SHARED.items():
        if name not in own:
            setattr(frozen_class, name, shared)
    return frozen_class


def _init(self: Any, *values: Any, **named: Any) -> None:
    cls = type(self)
    names = cls.__match_args__
    arguments = dict(zip(names, values, strict=False))
    invalid = next((name for name in named if name not in names or name in arguments), None)
    if invalid is not None:
        raise TypeError(f"{cls.__name__}() got an unknown or repeated argument {invalid!r}")
    if len(values) > len(names):
        raise TypeError(f"{cls.__name__}() takes {len(names)} arguments but got {len(values)}")
    arguments.update(named)
    for name in names:
        value = arguments[name] if name in arguments else _default(cls, name)
        object.__setattr__(self, name, value)
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _default(cls: Any, name: str) -> Any:
    declared = cls.__dataclass_fields__[name]
    if declared.default is not MISSING:
        return declared.default
    if declared.default_factory is not MISSING:
        return declared.default_factory()
    raise TypeError(f"{cls.__name__}() misses the argument {name!r}")


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
    """The signature for `help` and editors."""

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
