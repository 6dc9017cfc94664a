"""Map a file's tensors to ours and back, lazily, as a family describes it (`blueprint/sources.py`).

Tensors are read on access; shapes are checked before anything is read. A missing or unused tensor is an error
that names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from zeropoint import families
from zeropoint.blueprint.sources import (
    LogOfNegative,
    Offset,
    Permuted,
    Regrouped,
    Rename,
    Reshaped,
    Rows,
    Stacked,
    TensorSource,
    Transposed,
    stored_names,
)
from zeropoint.errors import BadModelFile
from zeropoint.frozen import frozen
from zeropoint.weights.read_only_formats import READABLE
from zeropoint.weights.stored_tensors import StoredTensors, format_names

__all__ = ["LazyTensor", "RenamedTensors", "Weights", "from_stored", "lazy_tensors", "to_stored"]

Array = npt.NDArray[np.float32]
# The parts of fused tensors by source and axis: (begin, end, rows).
Fused = dict[tuple[TensorSource, int], list[tuple[int, int, "LazyTensor"]]]
_COMPILED, _PARALLEL = "_orig_mod.", "module."


@frozen
class LazyTensor:
    """A tensor read on demand. format: as stored in its file ("F16"); read: returns float32 of `shape`."""

    shape: tuple[int, ...]
    format: str
    read: Callable[[], Array]


class RenamedTensors:
    """An opened file under current names.

    Removes the names of torch's wrappers and of the language model in a multimodal one, adds `prefix` if no
    tensor has it, and replaces old suffixes.
    """

    def __init__(self, stored: StoredTensors, prefix: str, aliases: Mapping[str, str]) -> None:
        unwrapped = _unwrapped(stored.tensors)
        lacks_prefix = bool(prefix) and not any(name.startswith(prefix) for name in unwrapped)
        added_prefix = prefix if lacks_prefix else ""
        self._stored = stored
        self._names = {
            _current_name(name, added_prefix, aliases): wrapped for name, wrapped in unwrapped.items()
        }
        self.name = stored.name
        self.tensors = {current: stored.tensors[name] for current, name in self._names.items()}
        if len(self._names) != len(stored.tensors):
            twice = stored.tensors.keys() - {*self._names.values()}
            raise BadModelFile(
                f"{stored.name} has {format_names(twice)} twice, under its old and its new name; remove one"
            )

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, uint8 [..., bytes per row]."""
        return self._stored.read(self._names[name])

    def array(self, name: str) -> Array:
        """The weights of a tensor, float32 in its shape."""
        return self._stored.array(self._names[name])

    def rows(self, name: str, begin: int, end: int) -> Array:
        """The weights of rows [begin, end) along the first axis, float32."""
        return self._stored.rows(self._names[name], begin, end)


class Weights(Mapping[str, Array]):
    """{our name: float32 array}, read from disk on every access. `lazy` holds shapes and formats."""

    def __init__(self, lazy: Mapping[str, LazyTensor]) -> None:
        self.lazy = lazy

    def __getitem__(self, name: str) -> Array:
        return self.lazy[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self.lazy)

    def __len__(self) -> int:
        return len(self.lazy)

    def __contains__(self, name: object) -> bool:
        return name in self.lazy


def lazy_tensors(stored: StoredTensors) -> dict[str, LazyTensor]:
    """The tensors of an opened file under their stored names."""
    return {name: _lazy(stored, name) for name in stored.tensors}


def from_stored(
    stored: StoredTensors,
    sources: Mapping[str, TensorSource],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    leftovers: Iterable[str] = (),
) -> Weights:
    """Our weights from a file.

    sources: how each of ours is assembled; shapes: from `blueprint.tensors.parameters`; leftovers: regular
    expressions of stored names that may exist without being used.
    Raises BadModelFile for a tensor that is missing, unused, or whose shape contradicts the config.
    """
    if sources.keys() != shapes.keys():
        raise BadModelFile(
            f"{stored.name}: no source is known for {format_names(sources.keys() ^ shapes.keys())}"
        )
    needed = {name for source in sources.values() for name in stored_names(source)}
    if missing := needed - stored.tensors.keys():
        raise BadModelFile(
            f"{stored.name} lacks {format_names(missing)}; it is incomplete or belongs to another model"
        )
    for name in sorted(needed):
        if (form := stored.tensors[name].format) not in READABLE:
            known = ", ".join(READABLE)
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
            f"{stored.name} has {format_names(unused)}, which this model does not use; it may belong to "
            "another model"
        )
    uses = Counter(name for source in sources.values() for name in stored_names(source))
    last = _LastRead(lazy_tensors(stored), {name for name, count in uses.items() if count > 1})
    weights = {name: _build(source, last, stored.name) for name, source in sources.items()}
    for name, lazy in weights.items():
        if lazy.shape != shapes[name]:
            raise BadModelFile(
                f"{stored.name}: tensor {format_names(stored_names(sources[name]))} gives `{name}` the shape "
                f"{list(lazy.shape)}; the config requires {list(shapes[name])}"
            )
    return Weights(weights)


def to_stored(
    weights: Mapping[str, LazyTensor], sources: Mapping[str, TensorSource]
) -> dict[str, LazyTensor]:
    """A file's tensors from ours: the inverse of `from_stored`, in the order of `sources`."""
    stored: dict[str, LazyTensor] = {}
    fused: Fused = {}
    last = _LastRead(weights, {name for name, source in sources.items() if isinstance(source, Stacked)})
    for name, source in sources.items():
        _disassemble(source, last.lazy(name), stored, fused)
    while fused:
        (source, axis), parts = fused.popitem()
        _disassemble(source, _concatenate_rows(parts, axis), stored, fused)
    return stored


class _LastRead:
    """Caches the last tensor read among those with several parts, since parts are read consecutively."""

    def __init__(self, tensors: Mapping[str, LazyTensor], cached_names: set[str]) -> None:
        self.tensors = tensors
        self.cached_names = cached_names
        self._last: tuple[str, Array] | None = None

    def lazy(self, name: str) -> LazyTensor:
        tensor = self.tensors[name]
        if name not in self.cached_names:
            return tensor
        return LazyTensor(tensor.shape, tensor.format, lambda: self._read(name))

    def _read(self, name: str) -> Array:
        if self._last is None or self._last[0] != name:
            self._last = None  # free it before reading the next
            self._last = (name, self.tensors[name].read())
        return self._last[1]


def _unwrapped(names: Iterable[str]) -> dict[str, str]:
    """Stored names by their names without those of torch.compile (`_orig_mod.`), DDP (`module.`) and a
    multimodal model.
    """
    plain = {name: name.replace(_COMPILED, "") for name in names}
    while plain and all(name.startswith(_PARALLEL) for name in plain.values()):
        plain = {stored: name.removeprefix(_PARALLEL) for stored, name in plain.items()}
    return {families.text_name(name): stored for stored, name in plain.items()}


def _current_name(name: str, prefix: str, aliases: Mapping[str, str]) -> str:
    for old, new in aliases.items():
        if name.endswith(old):
            return prefix + name.removesuffix(old) + new
    return prefix + name


def _lazy(stored: StoredTensors, name: str) -> LazyTensor:
    info = stored.tensors[name]
    return LazyTensor(tuple(info.shape), info.format, lambda: stored.array(name))


def _build(source: TensorSource, last: _LastRead, where: str) -> LazyTensor:
    """Assemble our tensor, from the innermost source outward."""
    match source:
        case Rename(name):
            return last.lazy(name)
        case Stacked(sources):
            parts = [_build(part, last, where) for part in sources]
            if len({part.shape for part in parts}) != 1:
                names = format_names(stored_names(source))
                raise BadModelFile(f"{where}: {names} must have the same shape")
            shape = (len(parts), *parts[0].shape)
            return LazyTensor(shape, _common_format(parts), lambda: np.stack([part.read() for part in parts]))
        case Rows(inner, begin, end, axis):
            fused = _build(inner, last, where)
            if not 0 <= begin < end <= (*fused.shape, *[0] * (axis + 1))[axis]:
                raise _shape_error(where, source, fused, f"at least {end} rows")
            shape = (*fused.shape[:axis], end - begin, *fused.shape[axis + 1 :])
            return _apply(fused, shape, lambda w: w[(slice(None),) * axis + (slice(begin, end),)])
        case Transposed(inner):
            return _transpose(_build(inner, last, where), where, source)
        case Permuted(inner, n_heads, is_interleaved):
            stored = _build(inner, last, where)
            if not stored.shape or stored.shape[0] % (2 * n_heads):
                raise _shape_error(where, source, stored, f"rows for {n_heads} heads of even width")
            return _permute(stored, n_heads, is_interleaved)
        case Regrouped(inner, n_groups, n_members, axis, begin):
            stored = _build(inner, last, where)
            n_blocks = n_groups * n_members
            size = stored.shape[axis] - begin if axis < len(stored.shape) else 0
            if size <= 0 or size % n_blocks:
                raise _shape_error(
                    where, source, stored, f"{begin} and a multiple of {n_blocks} along axis {axis}"
                )
            return _regroup(stored, n_groups, n_members, axis, begin)
        case Offset(inner, add):
            plain = _build(inner, last, where)
            return _apply(plain, plain.shape, lambda w: w + np.float32(add))
        case Reshaped(inner, shape, stored_shape):
            stored = _build(inner, last, where)
            if stored.shape != stored_shape:
                raise _shape_error(where, source, stored, f"the shape {list(stored_shape)}")
            return _apply(stored, shape, lambda w: w.reshape(shape))
        case LogOfNegative(inner):
            rates = _build(inner, last, where)
            names = format_names(stored_names(source))
            return _apply(rates, rates.shape, lambda w: _log_of_negative(w, f"{where}: tensor {names}"))


def _disassemble(
    source: TensorSource,
    ours: LazyTensor,
    stored: dict[str, LazyTensor],
    fused: Fused,
) -> None:
    """Add to `stored` what the file stores of our tensor; rows of a fused tensor collect in `fused`."""
    match source:
        case Rename(name):
            stored[name] = ours
        case Stacked(sources):
            for i, part in enumerate(sources):
                _disassemble(part, _apply(ours, ours.shape[1:], itemgetter(i)), stored, fused)
        case Rows(inner, begin, end, axis):
            fused.setdefault((inner, axis), []).append((begin, end, ours))
        case Transposed(inner):
            _disassemble(inner, _swap_last_axes(ours), stored, fused)
        case Permuted(inner, n_heads, is_interleaved):
            _disassemble(inner, _permute(ours, n_heads, not is_interleaved), stored, fused)
        case Regrouped(inner, n_groups, n_members, axis, begin):
            _disassemble(inner, _regroup(ours, n_members, n_groups, axis, begin), stored, fused)
        case Offset(inner, add):
            plain = _apply(ours, ours.shape, lambda w: w - np.float32(add))
            _disassemble(inner, plain, stored, fused)
        case Reshaped(inner, _, stored_shape):
            _disassemble(inner, _apply(ours, stored_shape, lambda w: w.reshape(stored_shape)), stored, fused)
        case LogOfNegative(inner):
            rates = _apply(ours, ours.shape, lambda w: -np.exp(w.astype(np.float64)).astype(np.float32))
            _disassemble(inner, rates, stored, fused)


def _concatenate_rows(ranges: list[tuple[int, int, LazyTensor]], axis: int) -> LazyTensor:
    """One fused tensor from its (begin, end, rows), which must be contiguous along the axis."""
    ranges = sorted(ranges, key=lambda item: item[:2])
    begins = [begin for begin, _, _ in ranges]
    if begins != [0, *(end for _, end, _ in ranges[:-1])]:
        raise BadModelFile(
            f"rows starting at {begins} of a fused tensor have a gap; some weights are missing"
        )
    parts = [part for _, _, part in ranges]
    shape = (*parts[0].shape[:axis], ranges[-1][1], *parts[0].shape[axis + 1 :])
    form = _common_format(parts)
    return LazyTensor(shape, form, lambda: np.concatenate([part.read() for part in parts], axis))


def _transpose(plain: LazyTensor, where: str, source: TensorSource) -> LazyTensor:
    if len(plain.shape) not in (2, 3):
        raise _shape_error(where, source, plain, "two dimensions, or three of a stack of matrices")
    return _swap_last_axes(plain)


def _swap_last_axes(tensor: LazyTensor) -> LazyTensor:
    *stack, n_rows, n_columns = tensor.shape
    return _apply(tensor, (*stack, n_columns, n_rows), lambda w: w.swapaxes(-1, -2))


def _apply(tensor: LazyTensor, shape: tuple[int, ...], function: Callable[[Array], Array]) -> LazyTensor:
    return LazyTensor(shape, tensor.format, lambda: function(tensor.read()))


def _permute(tensor: LazyTensor, n_heads: int, to_interleaved: bool) -> LazyTensor:
    """Reorder each head's rows from halves to interleaved rotary pairs, or back."""
    n_pairs = tensor.shape[0] // n_heads // 2
    sides = (2, n_pairs) if to_interleaved else (n_pairs, 2)

    def reorder(w: Array) -> Array:
        return w.reshape(n_heads, *sides, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)

    return _apply(tensor, tensor.shape, reorder)


def _log_of_negative(rates: Array, what: str) -> Array:
    if not (rates < 0).all():
        raise BadModelFile(f"{what} has a decay rate that is not below 0; the file is damaged")
    logs: Array = np.log(-rates.astype(np.float64)).astype(np.float32)
    return logs


def _regroup(tensor: LazyTensor, n_groups: int, n_members: int, axis: int, begin: int) -> LazyTensor:
    """Swap groups and members of the blocks along `axis`, from `begin` on."""

    def reorder(w: Array) -> Array:
        first, rest = np.split(w, [begin], axis)
        grid = rest.reshape(*w.shape[:axis], n_groups, n_members, -1, *w.shape[axis + 1 :])
        swapped = grid.swapaxes(axis, axis + 1).reshape(rest.shape)
        return np.concatenate([first, swapped], axis)

    return _apply(tensor, tensor.shape, reorder)


def _common_format(parts: list[LazyTensor]) -> str:
    formats = {part.format for part in parts}
    return formats.pop() if len(formats) == 1 else "F32"


def _shape_error(where: str, source: TensorSource, tensor: LazyTensor, needed: str) -> BadModelFile:
    names = format_names(stored_names(source))
    return BadModelFile(f"{where}: tensor {names} has the shape {list(tensor.shape)}; it needs {needed}")
