"""`SamplingParams`: how to sample from the model's logits, and when to stop.

Command-line flags, settings and documentation derive from these declarations. A parameter is either one of
those below (seed, max_tokens, stop, ...) or a field of a step in `sampling/steps/`.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from zeropoint import registry
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen
from zeropoint.options import MAX_INT, Option, options_of
from zeropoint.sampling.step import Step, step_classes
from zeropoint.sampling.steps.logit_bias import LogitBias

__all__ = ["SamplingParams", "options"]

# At most four sequences, as in OpenAI's API reference (`stop`); the maximum length is ours.
_MAX_STOPS, _MAX_STOP_CHARS = 4, 1024

_SEED = Option(
    "seed",
    int,
    None,
    0,
    2**64 - 1,
    "A number that fixes all random choices, as in 1: the same seed and prompt give the same answer.",
)
_MAX_TOKENS = Option(
    "max_tokens",
    int,
    None,
    1,
    2**31 - 1,
    "Stop after this many new tokens; 100 tokens are about 75 English words.",
)
_STOP = Option(
    "stop",
    str,
    (),
    None,
    None,
    r"Stop where the model writes this text, as in ### or \n for the end of a line. Repeatable.",
    is_many=True,
    has_escapes=True,
)
_STOP_REPETITION = Option(
    "stop_repetition", bool, None, None, None, "Stop an output that repeats the same text without end."
)
_SPECULATE = Option(
    "speculate",
    str,
    None,
    None,
    None,
    "Guess the next tokens, which makes answers faster and never changes them: auto, off, or how to guess, "
    "as in draft=smollm2:135m.",
    choices=lambda: ("auto", "off", *(name.replace("_", "-") for name in registry.names(_DRAFTERS))),
    prefixes=("draft=", "first-layers="),
)
_DRAFTERS = "zeropoint.decoding.drafters"
_LOGIT_BIAS = Option(
    "logit_bias",
    str,
    (),
    None,
    None,
    "Add a number to a token's logit, as in 198=-100, which bans token 198. Repeatable.",
    is_many=True,
)
_MAX_BIAS, _MAX_BIASES = 100.0, 1024


@frozen
class SamplingParams:
    """Sampling parameters, usually made by `SamplingParams.of(temperature=0.7, top_k=40)`.

    max_tokens: maximum number of new tokens; None for as many as fit in the context.
    seed: of the random numbers; None for a new seed per request.
    stop: strings that end the output and are not part of it.
    stop_repetition: end an output that repeats itself without end (`sampling/repetition.py`); None is False.
    speculate: how to guess the next tokens (`decoding/drafters/`): "auto" (also None), "off", a drafter,
        "draft=MODEL" or "first-layers=N".
    steps: the steps with a given parameter, in the order in which they run. `of(logit_bias={198: -100})`
    makes the step `LogitBias`.
    """

    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    stop_repetition: bool | None = None
    speculate: str | None = None

    @classmethod
    def of(cls, **flat: Any) -> SamplingParams:
        """Build from keyword arguments; None means "not given". Raises BadInput naming the invalid value."""
        given = {name: value for name, value in flat.items() if value is not None}
        table = {option.name: option for option in options()}
        for name in given:
            if name not in table:
                raise BadInput(choices("sampling parameter", name, table))
        stop = _check_stop(given.pop("stop", ()))
        biases = _check_biases(given.pop("logit_bias", {}))
        checked = {name: table[name].check(value) for name, value in given.items()}
        steps: list[Step] = []
        for step in step_classes():
            if step is LogitBias and biases:
                steps.append(LogitBias(biases))
            own = {o.name: checked[o.name] for o in options_of(step) if o.name in checked}
            if own:
                steps.append(step(**own))
        return cls(
            checked.get("max_tokens"),
            checked.get("seed"),
            stop,
            tuple(steps),
            checked.get("stop_repetition"),
            checked.get("speculate"),
        )

    def flat(self) -> dict[str, Any]:
        """The given parameters by name: `SamplingParams.of(**p.flat()) == p`."""
        own = {
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            "stop": self.stop or None,
            "stop_repetition": self.stop_repetition,
            "speculate": self.speculate,
        }
        values = {name: value for name, value in own.items() if value is not None}
        for step in self.steps:
            values.update(step.fields())
        return values

    def with_defaults(self, defaults: Mapping[str, Any]) -> SamplingParams:
        """These parameters, with `defaults` for every name that was not given."""
        return SamplingParams.of(**{**defaults, **self.flat()})

    def with_tokenizer(self, spellings: Callable[[], Sequence[str]]) -> SamplingParams:
        """The parameters for a tokenizer. spellings: returns the text of every token, in the order of ids."""
        steps = tuple(step.with_tokenizer(spellings) for step in self.steps if not step.is_identity())
        return replace(self, steps=steps)

    def with_seed(self) -> SamplingParams:
        """The parameters with a random seed if they have none: a draft model guesses with the same."""
        return self if self.seed is not None else replace(self, seed=secrets.randbits(64))

    def active(self) -> tuple[Step, ...]:
        """The steps that change the output, in the order in which they run; none follows greedy sampling."""
        steps = [step for step in self.steps if not step.is_identity()]
        last = next((i for i, step in enumerate(steps) if step.leaves_one_token()), len(steps))
        return tuple(steps[: last + 1])


@cache
def options() -> tuple[Option, ...]:
    """Every sampling parameter: those of the steps in the order in which they run, then the limits."""
    steps = [option for step in step_classes() for option in options_of(step)]
    return (*steps, _LOGIT_BIAS, _SEED, _MAX_TOKENS, _STOP, _STOP_REPETITION, _SPECULATE)


def _check_stop(value: object) -> tuple[str, ...]:
    stops = (value,) if isinstance(value, str) else value
    if not isinstance(stops, Sequence) or not all(isinstance(s, str) for s in stops):
        raise BadInput(f"stop must be a string or a list of strings; got {value!r}")
    if len(stops) > _MAX_STOPS:
        raise BadInput(f"stop takes at most {_MAX_STOPS} strings; got {len(stops)}")
    for text in stops:
        if not 1 <= len(text) <= _MAX_STOP_CHARS:
            raise BadInput(f"a stop string must have 1 to {_MAX_STOP_CHARS} characters; got {len(text)}")
    return tuple(stops)


def _check_biases(value: object) -> dict[int, float]:
    """Biases by token id, from a mapping or from texts such as "198=-100"."""
    if isinstance(value, str):
        value = (value,)
    pairs = (
        list(value.items())
        if isinstance(value, Mapping)
        else [tuple(str(text).split("=", 1)) for text in value]
        if isinstance(value, Sequence)
        else [()]
    )
    if len(pairs) > _MAX_BIASES:
        raise BadInput(f"logit_bias takes at most {_MAX_BIASES} tokens; got {len(pairs)}")
    biases = {}
    for pair in pairs:
        try:
            token, bias = int(str(pair[0])), float(str(pair[1]))
        except (IndexError, ValueError):
            token, bias = -1, math.nan
        if not (0 <= token <= MAX_INT and abs(bias) <= _MAX_BIAS):
            shown = "=".join(map(str, pair))[:40]
            raise BadInput(
                f"logit_bias takes token ids with a number from -100 to 100, as in 198=-100; got {shown!r}"
            )
        biases[token] = bias
    return biases
