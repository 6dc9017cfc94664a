"""`EngineOptions`: how a model is loaded and run, declared once.

Command-line flags, settings, the keywords of `zeropoint.load`, range checks and the documentation table all
derive from the fields of this class. To add an option: a field here (and its keyword below), the code where
it takes effect, and a test.
"""

from __future__ import annotations

from typing import Any, TypedDict

from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen
from zeropoint.options import Option, option, options_of

__all__ = ["ENGINE_OPTIONS", "EngineKeywords", "EngineOptions"]


def _instruction_sets() -> list[str]:
    from zeropoint import _native  # here: reading settings must not load the extension

    return ["auto", *_native.instruction_sets()]


def _cache_types() -> list[str]:
    from zeropoint import _native

    return [name for name in _native.cache_types() if name != _native.EXACT_CACHE_TYPE]


@frozen
class EngineOptions:
    """How a model is loaded and run. None leaves the choice to the engine.

    Raises BadInput, naming the option, for a value out of range and for options that exclude each other.
    """

    threads: int | None = option(
        None, 1, 1024, "Processor threads to compute with, as in 4. Default: one per core.", type=int
    )
    context: int | None = option(
        None,
        1,
        None,
        "Context length: the most tokens that a conversation may have, as in 4096; more needs more memory. "
        "Default: the model's, at most 8192.",
        type=int,
    )
    isa: str | None = option(
        None,
        help="Instruction set of the processor to use, as in avx2, to compare speeds; answers stay the same. "
        "Default: the fastest that `zeropoint doctor` lists.",
        type=str,
        choices=_instruction_sets,
    )
    exact: bool = option(
        False,
        help="Compute in 32-bit floats throughout, as PyTorch does: slower, to compare numbers with other "
        "programs. Default: round intermediate values to 8 bits, which hardly changes an answer.",
    )
    cache_type: str | None = option(
        None,
        help="How to store the KV cache, the model's memory of the text so far: int16, f16 (slower) or int8 "
        "(half the memory, less accurate). Default: int16.",
        type=str,
        choices=_cache_types,
    )
    cache_memory: int | None = option(
        None,
        1,
        None,
        "Most memory for the KV cache, in MB, as in 2000. Default: half of the free memory.",
        type=int,
        unit="MB",
    )
    window: int | None = option(
        None,
        1,
        None,
        "Continue past the context length by forgetting: the model remembers only this many tokens, as in "
        "1024. Default: off, and text ends where the context is full.",
        type=int,
    )
    sinks: int | None = option(
        None,
        0,
        None,
        "With a window: never forget this many tokens at the start of the text. Models rely on them (they "
        "are called attention sinks); with 0, text degrades. Default: 4.",
        type=int,
    )
    template: str | None = option(
        None,
        help="Format in which the model reads messages, by name (chatml, llama3, ...). Default: the model's "
        "own.",
        type=str,
    )

    def __post_init__(self) -> None:
        for declared in ENGINE_OPTIONS:
            value = getattr(self, declared.name)
            if value is not None or declared.default is not None:
                object.__setattr__(self, declared.name, declared.check(value))
        if self.sinks is not None and self.window is None:
            raise BadInput(
                "sinks are the first positions of a window; set `window` too, or leave out `sinks`"
            )
        if self.exact and self.cache_type is not None:
            raise BadInput(
                f"exact mode stores its KV cache in float32, not {self.cache_type}; leave out `cache_type`"
            )

    def updated(self, **keywords: Any) -> EngineOptions:
        """These options with the given ones replaced; None leaves an option as it is. Raises BadInput."""
        names = [declared.name for declared in ENGINE_OPTIONS]
        for name in keywords:
            if name not in names:
                raise BadInput(choices("engine option", name, names))
        values = {name: getattr(self, name) for name in names}
        return EngineOptions(
            **values | {name: value for name, value in keywords.items() if value is not None}
        )


class EngineKeywords(TypedDict, total=False):
    """The same options as keywords of `zeropoint.load`, for type checkers and editors."""

    threads: int | None
    context: int | None
    isa: str | None
    exact: bool | None
    cache_type: str | None
    cache_memory: int | None
    window: int | None
    sinks: int | None
    template: str | None


ENGINE_OPTIONS: tuple[Option, ...] = tuple(options_of(EngineOptions))
"""Every engine option, in the order of the fields."""
