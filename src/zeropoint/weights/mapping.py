"""Our tensors from a file's and back, as a family describes it (`blueprint/sources.py`), lazily.

Nothing is read before it is asked for, shapes are known before that, and no tensor is left over or missing
without a sentence that names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zeropoint import formats
from zeropoint.blueprint.sources import (
    Offset,
    Permuted,
    Rename,
    Rows,
    Stacked,
    TensorSource,
    Transposed,
    stored_names,
)
from zeropoint.errors import BadModelFile
from zeropoint.frozen import frozen

__all__ = ["Lazy", "Renamed", "Stored", "Weights", "from_stored", "of_stored", "shown_names", "to_stored"]

Array = npt.NDArray[np.float32]
_MAX_NAMED = 5  # tensors that a message lists


class Stored(Protocol):
    """An opened file (or several) with tensors: `GgufModel`, `SafetensorsModel`."""

    @property
    def name(self) -> str: ...

    @property
    def tensors(self) -> Mapping[str, Any]: ...

    def array(self, name: str) -> Array: ...

    def rows(self, name: str, begin: int, end: int) -> Array: ...


@frozen
class Lazy:
    """A tensor that is not read yet. format: how its file stores it ("F16"); read: float32 in `shape`."""

    shape: tuple[int, ...]
    format: str
    read: Callable[[], Array]


class Renamed:
    """An opened file under today's names: `prefix` before all if none has it, and new endings for old."""

    def __init__(self, stored: Stored, prefix: str, aliases: Mapping[str, str]) -> None:
        lacks = bool(prefix) and not any(name.startswith(prefix) for name in stored.tensors)
        self._stored = stored
        self._names = {_today(name, prefix if lacks else "", aliases): name for name in stored.tensors}
        self.name = stored.name
        self.tensors = {today: stored.tensors[name] for today, name in self._names.items()}
        if len(self._names) != len(stored.tensors):
            twice = [name for name in stored.tensors if name not in self._names.values()]
            raise BadModelFile(f"{stored.name} has {shown_names(twice)} twice, under an old and a new name")

    def array(self, name: str) -> Array:
        """The weights of a tensor, float32 in its shape."""
        return self._stored.array(self._names[name])

    def rows(self, name: str, begin: int, end: int) -> Array:
        """The weights of the rows [begin, end) along the first axis, float32."""
        return self._stored.rows(self._names[name], begin, end)


class Weights(Mapping[str, Array]):
    """{our name: float32 array}, each read anew when it is asked for. `lazy` has shapes and formats."""

    def __init__(self, lazy: Mapping[str, Lazy]) -> None:
        self.lazy = lazy

    def __getitem__(self, name: str) -> Array:
        return self.lazy[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.lazy)

    def __len__(self) -> int:
        return len(self.lazy)

    def __contains__(self, name: object) -> bool:
        return name in self.lazy


def of_stored(stored: Stored) -> dict[str, Lazy]:
    """The tensors of an opened file under their own names."""
    return {name: _lazy(stored, name) for name in stored.tensors}


def from_stored(
    stored: Stored,
    sources: Mapping[str, TensorSource],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    leftovers: Iterable[str] = (),
) -> Weights:
    """Our weights out of a file.

    sources: what each of ours is made of; shapes: those of `blueprint.tensors.parameters`; leftovers:
    regular expressions of stored names that may be there and are not needed.
    Raises BadModelFile for a tensor that is missing, left over, or of another shape than the config says.
    """
    if sources.keys() != shapes.keys():
        raise BadModelFile(
            f"{stored.name}: no source is known for {shown_names(sources.keys() ^ shapes.keys())}"
        )
    needed = {name for source in sources.values() for name in stored_names(source)}
    if missing := needed - stored.tensors.keys():
        raise BadModelFile(
            f"{stored.name} lacks {shown_names(missing)}; it is not complete, or of another model"
        )
    for name in sorted(needed):
        if (form := stored.tensors[name].format) not in formats.names():
            known = ", ".join(formats.names())
            raise BadModelFile(
                f"{stored.name}: tensor {name!a:.80} is {form}; weights must be one of {known}"
            )
    patterns = [re.compile(pattern) for pattern in leftovers]
    unused = [
        name
        for name in stored.tensors.keys() - needed
        if not any(pattern.fullmatch(name) for pattern in patterns)
    ]
    if unused:
        raise BadModelFile(
            f"{stored.name} has {shown_names(unused)}, which the model it describes does not use"
        )
    uses = Counter(name for source in sources.values() for name in stored_names(source))
    last = _LastRead(of_stored(stored), {name for name, count in uses.items() if count > 1})
    weights = {name: _build(source, last, stored.name) for name, source in sources.items()}
    for name, lazy in weights.items():
        if lazy.shape != shapes[name]:
            raise BadModelFile(
                f"{stored.name}: tensor {shown_names(stored_names(sources[name]))} makes `{name}` of shape "
                f"{list(lazy.shape)}; its config says {list(shapes[name])}"
            )
    return Weights(weights)


def to_stored(weights: Mapping[str, Lazy], sources: Mapping[str, TensorSource]) -> dict[str, Lazy]:
    """A file's tensors out of ours: the way back of `from_stored`, in the order of `sources`."""
    stored: dict[str, Lazy] = {}
    fused: dict[TensorSource, list[tuple[int, int, Lazy]]] = {}
    last = _LastRead(weights, {name for name, source in sources.items() if isinstance(source, Stacked)})
    for name, source in sources.items():
        _take_apart(source, last.lazy(name), stored, fused)
    while fused:
        source, pieces = fused.popitem()
        _take_apart(source, _joined(pieces), stored, fused)
    return stored


class _LastRead:
    """Keeps the tensor that was read last, of those in several parts, which are asked for in a row."""

    def __init__(self, tensors: Mapping[str, Lazy], in_parts: set[str]) -> None:
        self.tensors = tensors
        self.in_parts = in_parts
        self._last: tuple[str, Array] | None = None

    def lazy(self, name: str) -> Lazy:
        tensor = self.tensors[name]
        if name not in self.in_parts:
            return tensor
        return Lazy(tensor.shape, tensor.format, lambda: self._read(name))

    def _read(self, name: str) -> Array:
        if self._last is None or self._last[0] != name:
            self._last = None  # freed before the next is read
            self._last = (name, self.tensors[name].read())
        return self._last[1]


def _today(name: str, prefix: str, aliases: Mapping[str, str]) -> str:
    for old, new in aliases.items():
        if name.endswith(old):
            return prefix + name.removesuffix(old) + new
    return prefix + name


def _lazy(stored: Stored, name: str) -> Lazy:
    info = stored.tensors[name]
    return Lazy(tuple(info.shape), info.format, lambda: stored.array(name))


def _build(source: TensorSource, last: _LastRead, where: str) -> Lazy:
    """Our tensor, from the inside out."""
    match source:
        case Rename(name):
            return last.lazy(name)
        case Stacked(sources):
            parts = [_build(part, last, where) for part in sources]
            if len({part.shape for part in parts}) != 1:
                raise BadModelFile(f"{where}: {shown_names(stored_names(source))} must be of one shape")
            shape = (len(parts), *parts[0].shape)
            return Lazy(shape, _common(parts), lambda: np.stack([part.read() for part in parts]))
        case Rows(inner, begin, end):
            whole = _build(inner, last, where)
            if not 0 <= begin < end <= (whole.shape or (0,))[0]:
                raise _misfit(where, source, whole, f"at least {end} rows")
            return _changed(whole, (end - begin, *whole.shape[1:]), lambda w: w[begin:end])
        case Transposed(inner):
            return _turned(_build(inner, last, where), where, source)
        case Permuted(inner, n_heads, is_interleaved):
            stored = _build(inner, last, where)
            if not stored.shape or stored.shape[0] % (2 * n_heads):
                raise _misfit(where, source, stored, f"rows for {n_heads} heads of even width")
            return _permuted(stored, n_heads, is_interleaved)
        case Offset(inner, add):
            plain = _build(inner, last, where)
            return _changed(plain, plain.shape, lambda w: w + np.float32(add))


def _take_apart(
    source: TensorSource,
    ours: Lazy,
    stored: dict[str, Lazy],
    fused: dict[TensorSource, list[tuple[int, int, Lazy]]],
) -> None:
    """What the file stores of our tensor, from the outside in; rows of a fused one wait for the others."""
    match source:
        case Rename(name):
            stored[name] = ours
        case Stacked(sources):
            for i, part in enumerate(sources):
                _take_apart(part, _changed(ours, ours.shape[1:], itemgetter(i)), stored, fused)
        case Rows(inner, begin, end):
            fused.setdefault(inner, []).append((begin, end, ours))
        case Transposed(inner):
            _take_apart(inner, _changed(ours, ours.shape[::-1], lambda w: w.T), stored, fused)
        case Permuted(inner, n_heads, is_interleaved):
            _take_apart(inner, _permuted(ours, n_heads, not is_interleaved), stored, fused)
        case Offset(inner, add):
            plain = _changed(ours, ours.shape, lambda w: w - np.float32(add))
            _take_apart(inner, plain, stored, fused)


def _joined(pieces: list[tuple[int, int, Lazy]]) -> Lazy:
    """One tensor of rows that must follow each other without a gap."""
    pieces = sorted(pieces, key=lambda piece: piece[:2])
    begins = [begin for begin, _, _ in pieces]
    if begins != [0, *(end for _, end, _ in pieces[:-1])]:
        raise BadModelFile(f"the rows from {begins} of a fused tensor do not join; some weights are missing")
    parts = [part for _, _, part in pieces]
    shape = (pieces[-1][1], *parts[0].shape[1:])
    return Lazy(shape, _common(parts), lambda: np.concatenate([part.read() for part in parts]))


def _turned(plain: Lazy, where: str, source: TensorSource) -> Lazy:
    if len(plain.shape) != 2:
        raise _misfit(where, source, plain, "two dimensions")
    return _changed(plain, plain.shape[::-1], lambda w: w.T)


def _changed(tensor: Lazy, shape: tuple[int, ...], change: Callable[[Array], Array]) -> Lazy:
    return Lazy(shape, tensor.format, lambda: change(tensor.read()))


def _permuted(tensor: Lazy, n_heads: int, to_interleaved: bool) -> Lazy:
    """Rows of each head from halves to interleaved pairs, or the other way."""
    n_pairs = tensor.shape[0] // n_heads // 2
    sides = (2, n_pairs) if to_interleaved else (n_pairs, 2)

    def change(w: Array) -> Array:
        return w.reshape(n_heads, *sides, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)

    return _changed(tensor, tensor.shape, change)


def _common(parts: list[Lazy]) -> str:
    formats = {part.format for part in parts}
    return formats.pop() if len(formats) == 1 else "F32"


def _misfit(where: str, source: TensorSource, tensor: Lazy, wanted: str) -> BadModelFile:
    names = shown_names(stored_names(source))
    return BadModelFile(f"{where}: tensor {names} has the shape {list(tensor.shape)}; it needs {wanted}")


def shown_names(names: Iterable[str]) -> str:
    """Stored names for a message: the first few, in order, unable to act on a terminal."""
    names = sorted(names)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(f"{name!a:.80}" for name in names[:_MAX_NAMED]) + more
