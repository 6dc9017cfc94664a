"""`SamplingParams`: how an answer is drawn from the model's logits, and when it ends.

The one table of names, ranges and help from which command-line flags, settings and the server's
schema derive. A name is either one of the three fields below (seed, max_tokens, stop) or a field of
a step in `sampling/steps/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen
from zeropoint.options import Option, options_of
from zeropoint.sampling.step import Step, step_classes

__all__ = ["SamplingParams", "options"]

# OpenAI's limits (API reference, `stop`): up to four sequences; the length is ours.
_MAX_STOPS, _MAX_STOP_CHARS = 4, 1024

_SEED = Option("seed", int, None, 0, 2**64 - 1, "Start of the random draws; same seed, same answer.")
_MAX_TOKENS = Option("max_tokens", int, None, 1, 2**31 - 1, "Most tokens to generate.")
_STOP = Option("stop", str, (), None, None, "Text that ends the answer (repeatable).", is_many=True)


@frozen
class SamplingParams:
    """How to draw and when to stop. `SamplingParams.of(temperature=0.7, top_k=40)` is the usual way.

    max_tokens: the budget of new tokens, or None for as many as the context holds.
    seed: start of the draws, or None for a fresh one each time.
    stop: texts that end the answer and are not part of it.
    steps: what was asked for, in running order; a step left out changes nothing.
    """

    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    @classmethod
    def of(cls, **flat: Any) -> SamplingParams:
        """Build from flat names; None means "not given". Raises BadInput naming the value at fault."""
        given = {name: value for name, value in flat.items() if value is not None}
        table = {option.name: option for option in options()}
        for name in given:
            if name not in table:
                raise BadInput(choices("sampling parameter", name, table))
        stop = _check_stop(given.pop("stop", ()))
        checked = {name: table[name].check(value) for name, value in given.items()}
        steps = []
        for step in step_classes():
            own = {o.name: checked[o.name] for o in options_of(step) if o.name in checked}
            if own:
                steps.append(step(**own))
        return cls(checked.get("max_tokens"), checked.get("seed"), stop, tuple(steps))

    def flat(self) -> dict[str, Any]:
        """The flat names that were given, with their values: `SamplingParams.of(**p.flat()) == p`."""
        own = {"max_tokens": self.max_tokens, "seed": self.seed, "stop": self.stop or None}
        values = {name: value for name, value in own.items() if value is not None}
        for step in self.steps:
            values.update(step.fields())
        return values

    def with_defaults(self, defaults: Mapping[str, Any]) -> SamplingParams:
        """These parameters, with `defaults` (flat) for every name that was not given."""
        return SamplingParams.of(**{**defaults, **self.flat()})

    def active(self) -> tuple[Step, ...]:
        """The steps that change anything, in running order."""
        return tuple(step for step in self.steps if not step.is_identity())


@cache
def options() -> tuple[Option, ...]:
    """Every sampling parameter: first those of the steps in running order, then the limits."""
    steps = [option for step in step_classes() for option in options_of(step)]
    return (*steps, _SEED, _MAX_TOKENS, _STOP)


def _check_stop(value: object) -> tuple[str, ...]:
    stops = (value,) if isinstance(value, str) else value
    if not isinstance(stops, Sequence) or not all(isinstance(s, str) for s in stops):
        raise BadInput(f"stop must be a text or a list of texts; got {value!r}")
    if len(stops) > _MAX_STOPS:
        raise BadInput(f"stop takes at most {_MAX_STOPS} texts; got {len(stops)}")
    for text in stops:
        if not 1 <= len(text) <= _MAX_STOP_CHARS:
            raise BadInput(f"a stop text must have 1 to {_MAX_STOP_CHARS} characters; got {len(text)}")
    return tuple(stops)
