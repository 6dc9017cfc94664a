"""The sampling parameters that a model's publisher recommends, as its files store them.

A Hugging Face folder has them in `generation_config.json`, a GGUF file under `general.sampling.*` (keys of
llama.cpp since November 2025). A model without any is sampled with `CHAT_DEFAULTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.sampling.params import options

__all__ = [
    "CHAT_DEFAULTS",
    "from_generation_config",
    "from_gguf",
    "to_generation_config",
    "to_gguf",
]

CHAT_DEFAULTS: Mapping[str, float] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}
"""For a parameter that neither user nor publisher gave: llama.cpp's defaults, which suit most chat models."""

Notify = Callable[[str], None]
# Our name, that of generation_config.json, and that of GGUF after `general.sampling.`.
_NAMES = (
    ("temperature", "temperature", "temp"),
    ("top_k", "top_k", "top_k"),
    ("top_p", "top_p", "top_p"),
    ("min_p", "min_p", "min_p"),
    ("repetition_penalty", "repetition_penalty", "penalty_repeat"),
)


def from_generation_config(config: Mapping[str, Any], where: str, notify: Notify) -> dict[str, float]:
    """The recommendation in generation_config.json, by our names.

    `do_sample` = false recommends greedy decoding, as in transformers; if it is absent, the temperature is
    used, as in llama.cpp. notify: called for each value that is ignored because it is out of range.
    """
    found = _checked({ours: config.get(theirs) for ours, theirs, _ in _NAMES}, where, notify)
    if config.get("do_sample") is False:
        return {name: value for name, value in found.items() if name == "repetition_penalty"} | {
            "temperature": 0.0
        }
    return found


def to_generation_config(sampling: Mapping[str, float]) -> dict[str, Any]:
    """The keys of generation_config.json for a recommendation; none for an empty one."""
    named = {theirs: sampling[ours] for ours, theirs, _ in _NAMES if ours in sampling}
    if not named:
        return {}
    if named.get("temperature") == 0:
        return {"do_sample": False} | {key: named[key] for key in named if key == "repetition_penalty"}
    return {"do_sample": True} | named


def from_gguf(metadata: Mapping[str, Any], where: str, notify: Notify) -> dict[str, float]:
    """The recommendation in the metadata of a GGUF file, by our names. notify: as above."""
    found = {ours: metadata.get(f"general.sampling.{key}") for ours, _, key in _NAMES}
    # A float32 has about seven digits; without the noise after them it equals the value that was written.
    rounded = {name: float(f"{v:.6g}") if isinstance(v, float) else v for name, v in found.items()}
    return _checked(rounded, where, notify)


def to_gguf(sampling: Mapping[str, float]) -> dict[str, float]:
    """The metadata keys of a GGUF file for a recommendation."""
    return {f"general.sampling.{key}": sampling[ours] for ours, _, key in _NAMES if ours in sampling}


def _checked(values: Mapping[str, Any], where: str, notify: Notify) -> dict[str, float]:
    """The values within the ranges of our parameters, in their types; the others are reported."""
    table = {option.name: option for option in options()}
    found = {}
    for name, value in values.items():
        if value is None:
            continue
        if name == "top_k" and value == -1:  # off, in llama.cpp and vLLM
            value = 0
        try:
            found[name] = table[name].check(value)
        except BadInput as error:
            notify(f"{where}: a recommended sampling parameter is ignored: {error}")
    return found
