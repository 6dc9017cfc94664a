"""A model without weights that answers with a fixed text, to test the command line alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from zeropoint.engine.session.logprobs import TokenLogprob
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, Text


@dataclass(frozen=True)
class FakeUsage:
    prompt_tokens: int = 3
    completion_tokens: int = 2
    cached_tokens: int = 0


@dataclass(frozen=True)
class FakeTimings:
    predicted_n: int = 3
    predicted_ms: float = 20.0


class FakeStream:
    """Yields its pieces; raises a piece that is an exception, sleeps for a float in seconds."""

    usage, timings = FakeUsage(), FakeTimings()

    def __init__(
        self, pieces: Sequence[Any], notices: Sequence[str] = (), finish_reason_at_end: str = "stop"
    ) -> None:
        self.pieces = pieces
        self.finish_reason_at_end = finish_reason_at_end
        self.notices = list(notices)
        self.finish_reason: str | None = None
        self.logprobs: list[TokenLogprob] = []
        self.is_closed = False

    def __iter__(self) -> Iterator[str]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if isinstance(piece, float):
                time.sleep(piece)
            else:
                yield piece
        self.finish_reason = self.finish_reason_at_end

    def events(self) -> Iterator[ReplyEvent]:
        for piece in self:
            yield piece if isinstance(piece, Reasoning) else Text(piece)

    @property
    def reasoning(self) -> str:
        return "".join(piece.text for piece in self.pieces if isinstance(piece, Reasoning))

    def close(self) -> None:
        self.finish_reason = self.finish_reason or "cancelled"
        self.is_closed = True


class FakeModel:
    """Answers every question with `pieces`; by default with the question in brackets."""

    name = "fake"

    def __init__(self, pieces: Sequence[Any] | None = None, n_ctx: int = 1000) -> None:
        self.engine = self.blueprint = SimpleNamespace(n_ctx=n_ctx)
        self.defaults: Mapping[str, Any] = {"temperature": 0.25}
        self.pieces = pieces
        self.notices: list[str] = []
        self.finish_reason_at_end = "stop"
        self.calls: list[tuple[Any, SamplingParams]] = []
        self.loaded_with: dict[str, Any] = {}
        self.loaded_cache: Path | None = None
        self.is_closed = False
        self.logprob_arguments: dict[str, Any] = {}
        self.thinking: bool | None = None
        self.logprobs: list[TokenLogprob] = []

    def chat(
        self,
        messages: list[dict[str, str]],
        params: SamplingParams,
        thinking: bool | None = None,
        **logprobs: Any,
    ) -> FakeStream:
        self.thinking = thinking
        self.logprob_arguments = logprobs
        return self._answer(messages, params, messages[-1]["content"])

    def generate(
        self, prompt: str, params: SamplingParams, interventions: Sequence[Any] = (), **logprobs: Any
    ) -> FakeStream:
        self.logprob_arguments = logprobs
        return self._answer(prompt, params, prompt)

    def encode_chat(self, messages: list[dict[str, str]], thinking: bool | None = None) -> list[int]:
        return [0] * sum(1 + len(message["content"].split()) for message in messages)

    def save_cache(self, ids: list[int], path: Path) -> None:
        path.write_bytes(bytes(ids))

    def load_cache(self, path: Path) -> None:
        self.loaded_cache = path

    def _answer(self, prompt: Any, params: SamplingParams, text: str) -> FakeStream:
        self.calls.append((prompt, params))
        pieces = self.pieces if self.pieces is not None else ["[", text, "]"]
        stream = FakeStream(pieces, self.notices, self.finish_reason_at_end)
        stream.logprobs = self.logprobs
        return stream

    def __enter__(self) -> FakeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


def module_with(load: Callable[..., Any]) -> ModuleType:
    """A replacement for the module zeropoint.engine.session.load."""
    module = ModuleType("zeropoint.engine.session.load")
    module.load = load  # type: ignore[attr-defined]
    return module


def run_with_fake_model(*pieces: Any) -> None:
    """Run the command line in sys.argv with a model that answers `pieces`; for a subprocess."""
    sys.modules["zeropoint.engine.session.load"] = module_with(
        lambda name, options, **_: FakeModel(pieces or None)
    )
    from zeropoint.cli.app import main

    main()
