"""The steps around a tokenizer's model: its normalizer and pre-tokenizer, as tokenizer.json writes them.

GGUF only names the common ones. Our files hold any other under `zeropoint.tokenizer.pipeline`: a JSON object
{"normalizer": [step, ...], "pre_tokenizer": [step, ...], "model": {...}} whose steps Hugging Face
`tokenizers` builds. "model" has options of the model that GGUF lacks, and "keeps_first_space" says that
decoding leaves the space before the first word.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.quiet_panics import quiet_panics

if TYPE_CHECKING:
    import tokenizers

__all__ = ["PIPELINE_KEY", "SPACE", "Pipeline", "parse_pipeline"]

PIPELINE_KEY = "zeropoint.tokenizer.pipeline"
SPACE = "\u2581"  # SentencePiece's symbol for a space
MAX_CHARS = 1 << 23  # of a pipeline; T5's, with its character map, has 316 KB

MAX_STEPS = 64  # of a normalizer, and of a pre-tokenizer
MAX_GROWTH = 1000  # how many times longer the normalizer may make a text; published ones stay below ten
MODEL_OPTIONS = {
    "unk_token": str,
    "fuse_unk": bool,
    "ignore_merges": bool,
    "max_input_chars_per_word": int,
    "word_level": bool,  # a word is a token or unknown
}

Step = Mapping[str, Any]


@frozen
class Pipeline:
    """normalizer, pre_tokenizer: their steps in order, sequences flattened.

    model: options of the model that GGUF lacks (see `MODEL_OPTIONS`). keeps_first_space: decoding does not
    remove the space before the first word.
    """

    normalizer: Sequence[Step] = ()
    pre_tokenizer: Sequence[Step] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    keeps_first_space: bool = False

    def to_json(self) -> str:
        """The value of `zeropoint.tokenizer.pipeline`."""
        parts = {"normalizer": self.normalizer, "pre_tokenizer": self.pre_tokenizer, "model": self.model}
        decoding = {"keeps_first_space": True} if self.keeps_first_space else {}
        return json.dumps(parts | decoding, ensure_ascii=False, separators=(",", ":"))

    @property
    def spelling(self) -> str:
        """How tokens spell text: "byte_level", "sentencepiece" (a space is U+2581) or "words"."""
        types = {step["type"] for step in (*self.normalizer, *self.pre_tokenizer)}
        if "ByteLevel" in types:
            return "byte_level"
        has_symbol = any(step.get("content") == SPACE for step in self.normalizer)
        return "sentencepiece" if has_symbol or "Metaspace" in types else "words"

    @property
    def may_panic(self) -> bool:
        """Whether a step of the file's own, a regular expression or a character map, can fail on a text."""
        steps = (*self.normalizer, *self.pre_tokenizer)
        patterns = (step.get("pattern") for step in steps)
        has_regex = any(isinstance(pattern, dict) and "Regex" in pattern for pattern in patterns)
        return has_regex or any(step["type"] == "Precompiled" for step in steps)

    @property
    def space_after_special(self) -> bool:
        """Whether the text after an added token gets the space prefix, too."""
        return any(step["type"] == "Prepend" for step in self.normalizer) or any(
            step.get("prepend_scheme") == "always" or step.get("add_prefix_space") is True
            for step in self.pre_tokenizer
        )

    def continuation(self) -> Pipeline:
        """The same steps for text that continues other text: without a space prefix."""
        return Pipeline(
            [step for step in self.normalizer if step["type"] != "Prepend"],
            [_without_prefix(step) for step in self.pre_tokenizer],
            self.model,
            self.keeps_first_space,
        )

    def build(
        self,
    ) -> tuple[tokenizers.normalizers.Normalizer | None, tokenizers.pre_tokenizers.PreTokenizer | None]:
        """The library's objects. Raises ValueError with the library's message."""
        from tokenizers import Tokenizer

        if max(len(self.normalizer), len(self.pre_tokenizer)) > MAX_STEPS:
            raise ValueError(f"it has more than {MAX_STEPS} steps")
        if math.prod(map(_growth, self.normalizer)) > MAX_GROWTH:
            raise ValueError(f"its steps can make a text more than {MAX_GROWTH} times longer")
        content = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
            "normalizer": _sequence(self.normalizer, "normalizers"),
            "pre_tokenizer": _sequence(self.pre_tokenizer, "pretokenizers"),
            "post_processor": None, "decoder": None, "model": {"type": "BPE", "vocab": {}, "merges": []},
        }  # fmt: skip
        try:
            with quiet_panics():
                built = Tokenizer.from_str(json.dumps(content))
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as failure:  # a Rust panic is not an Exception
            raise ValueError(str(failure)) from None
        return built.normalizer, built.pre_tokenizer

    def set_steps(self, encoder: tokenizers.Tokenizer) -> None:
        """Give a tokenizer these steps. Raises ValueError."""
        normalizer, pre_tokenizer = self.build()
        if normalizer is not None:
            encoder.normalizer = normalizer
        if pre_tokenizer is not None:
            encoder.pre_tokenizer = pre_tokenizer


def parse_pipeline(text: str) -> Pipeline:
    """The pipeline of a metadata value. Raises ValueError."""
    if len(text) > MAX_CHARS:
        raise ValueError(f"it has {len(text)} characters; at most {MAX_CHARS} are allowed")
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict) or not isinstance(content.get("model", {}), dict):
        raise ValueError("it and its `model` must be JSON objects")
    for option, value in content.get("model", {}).items():
        if type(value) is not MODEL_OPTIONS.get(option):
            raise ValueError(f"its model has no option {option!r:.40} with the value {value!r:.40}")
    normalizer, pre_tokenizer = content.get("normalizer", []), content.get("pre_tokenizer", [])
    for part in (normalizer, pre_tokenizer):
        if not isinstance(part, list) or not all(
            isinstance(step, dict) and isinstance(step.get("type"), str) for step in part
        ):
            raise ValueError("its steps must be a list of objects with a type")
    keeps_first_space = content.get("keeps_first_space", False)
    if not isinstance(keeps_first_space, bool):
        raise ValueError("its `keeps_first_space` must be true or false")
    pipeline = Pipeline(normalizer, pre_tokenizer, content.get("model", {}), keeps_first_space)
    pipeline.build()
    return pipeline


def _sequence(steps: Sequence[Step], inner: str) -> Any:
    return steps[0] if len(steps) == 1 else {"type": "Sequence", inner: list(steps)} if steps else None


def _growth(step: Step) -> int:
    """How many times longer a step can make a text, at most; roughly for Unicode's own normal forms."""
    inserted = step.get("content", step.get("prepend", ""))
    pattern = step.get("pattern")
    replaced = pattern.get("String") if isinstance(pattern, dict) else None
    if not isinstance(inserted, str) or inserted == replaced:
        return 1
    # A regular expression can match the empty string, before every character.
    is_regex = not isinstance(replaced, str) and step["type"] == "Replace"
    return max(1, -(-len(inserted) // max(1, len(replaced or "x"))) + is_regex)


def _without_prefix(step: Step) -> Step:
    if step["type"] == "Metaspace":
        return {**step, "prepend_scheme": "never"}
    return {**step, "add_prefix_space": False} if step.get("add_prefix_space") is True else step
