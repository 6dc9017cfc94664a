"""`Model`: text in, text out, and the numbers in between.

>>> model = zeropoint.load("smollm2:135m")
>>> for piece in model.chat("What is a zero point?"):
...     print(piece, end="")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import LogitLens, LogitLensRows, Stepper, Tap, Trace
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.session.score import Score, named_ids, score
from zeropoint.engine.session.stream import Stream, StreamMultiplexer
from zeropoint.engine.tap_requests import check_layer
from zeropoint.errors import BadInput
from zeropoint.sampling.params import SamplingParams
from zeropoint.tokenizers.core.stream import TextStream
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.weights.gguf.model import GgufModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.tokenizers.chat.template import ChatTemplate

__all__ = ["Model", "Score"]


class Model:
    """A loaded model; build it with `load`. Close it, or use it in a `with`, to free its memory.

    engine, tokenizer, blueprint: its parts. name: what it was called. defaults: recommended sampling, flat.
    """

    def __init__(
        self, file: GgufModel, blueprint: Blueprint, engine: NativeEngine, tokenizer: Tokenizer, name: str
    ) -> None:
        self.file = file
        self.blueprint = blueprint
        self.engine = engine
        self.tokenizer = tokenizer
        self.name = name
        self.defaults: Mapping[str, Any] = {}
        self.template_name: str | None = None
        self._router = StreamMultiplexer(engine)

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template, its process started. Raises BadInput where the model has none."""
        from zeropoint.tokenizers.chat.template import load_template  # `generate` needs no processes

        return load_template(self.file, self.tokenizer, self.template_name)

    def chat(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        *,
        interventions: Sequence[Intervention] = (),
        on_progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> Stream:
        """Answer a question (a text) or a conversation ([{"role": ..., "content": ...}]).

        Sampling by `params` or by flat names (temperature=0.2); the model's defaults fill the rest.
        taps: `AddVector` and `Scale`, how every pass is changed, that of the prompt too; such an answer
        shares no cache with others. on_progress(read, total): prompt tokens while a long prompt is read.
        Raises BadInput, or ContextFull with both numbers.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        ids = self.encode_chat(messages)
        params = self._params(params, sampling)
        return self._stream(ids, params, interventions, is_continuation=False, on_progress=on_progress)

    def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        interventions: Sequence[Intervention] = (),
        on_progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> Stream:
        """Continue a text (or token ids) as it stands, with no template. Arguments as in `chat`."""
        params = self._params(params, sampling)
        return self._stream(
            self._read(prompt), params, interventions, is_continuation=True, on_progress=on_progress
        )

    def encode_chat(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Token ids of a conversation, ready to be answered."""
        from zeropoint.tokenizers.chat.prompt import encode_chat

        return encode_chat(self.tokenizer, self.template, messages)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text; what spells a control token stays text."""
        return self.tokenizer.encode(text)

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self.tokenizer.decode(ids)

    def logits(self, text: str | Sequence[int]) -> NDArray[np.float32]:
        """Logits after every token of a text (or of token ids): float32 [T, V]."""
        stepper = self.engine.stepper()
        try:
            return stepper.extend(self._read(text))
        finally:
            stepper.close()

    def score(
        self,
        text: str | Sequence[int],
        *,
        top: int = 0,
        tokens: Sequence[str | int] = (),
        interventions: Sequence[Intervention] = (),
    ) -> Score:
        """Log-probability of every token of a text (or of token ids).

        top: so many best tokens of every place too; tokens: those named (" Paris", or an id). taps: how the
        pass is changed.
        """
        ids = self.tokenize(text) if isinstance(text, str) else list(text)
        if not ids:
            raise BadInput("there is no text to score")
        bos = self.tokenizer.bos_id
        start = [bos] if isinstance(text, str) and self.tokenizer.add_bos and bos is not None else []
        named = named_ids(self.tokenizer, tokens)
        return score(
            self.engine,
            ids,
            start,
            self.blueprint.n_layers,
            top=top,
            tokens=named,
            interventions=interventions,
        )

    def trace(
        self,
        text: str | Sequence[int],
        taps: Sequence[str | Tap] = (),
        *,
        lens: LogitLens | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """What is seen inside while a text (or token ids) is read.

        reads: points of `blueprint/taps.py` by name ("blocks.3.attention.weights"; `*` stands for anything),
        or `Read` for chosen heads. lens: as in `lens`. taps: how the pass is changed; the changed is seen.
        """
        return self.engine.trace(self._read(text), taps, lens=lens, interventions=interventions)

    def attention(
        self,
        text: str | Sequence[int],
        layer: int,
        heads: Sequence[int] | None = None,
        *,
        interventions: Sequence[Intervention] = (),
    ) -> NDArray[np.float32]:
        """How much each token looks at each: float32 [heads, T, T], rows of queries that sum to 1."""
        check_layer(self.blueprint, layer)
        point = f"blocks.{layer}.attention.weights"
        return self.trace(text, [Tap(point, heads)], interventions=interventions)[point]

    def lens(
        self,
        text: str | Sequence[int],
        layers: Sequence[int] | None = None,
        *,
        top: int = 5,
        tokens: Sequence[str | int] = (),
        logits: bool = False,
        interventions: Sequence[Intervention] = (),
    ) -> list[LogitLensRows]:
        """What would follow each token if the model ended after each of those layers (by default all).

        top: best tokens of each place. tokens: named ones (" Paris", or an id). logits: all of them too.
        """
        chosen = range(self.blueprint.n_layers) if layers is None else layers
        lens = LogitLens(list(chosen), top, named_ids(self.tokenizer, tokens), logits)
        return self.trace(text, lens=lens, interventions=interventions).lens

    def stepper(self, interventions: Sequence[Intervention] = ()) -> Stepper:
        """A fresh sequence to decode by hand: `extend(ids) -> logits`, `rollback(n)`."""
        return self.engine.stepper(interventions)

    def save_cache(self, ids: Sequence[int], path: str | Path) -> int:
        """Write what the cache holds of the start of a text; how many tokens. Raises BadInput, DiskError."""
        from zeropoint.engine.session import kv_snapshot  # its checksums bring a library of megabytes

        return kv_snapshot.save_cache(self.engine, ids, Path(path))

    def load_cache(self, path: str | Path) -> list[int]:
        """Put a saved cache back; the tokens that need not be read again.

        Raises BadInput for one of another model, of other cache options or damaged; DiskError, OutOfMemory.
        """
        from zeropoint.engine.session import kv_snapshot

        return kv_snapshot.load_cache(self.engine, Path(path))

    def close(self) -> None:
        """Free weights, cache and the template's process; later calls raise."""
        if "template" in self.__dict__:
            self.template.close()
        self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, text: str | Sequence[int]) -> list[int]:
        """A text as a document, with its begin token if the model has one; ids as they are."""
        if not isinstance(text, str):
            return list(text)
        ids = self.tokenize(text)
        bos = self.tokenizer.bos_id
        if bos is not None and (self.tokenizer.add_bos or not ids):
            ids = [bos, *ids]
        return ids

    def _params(self, params: SamplingParams | None, sampling: Mapping[str, Any]) -> SamplingParams:
        given = SamplingParams.of(**sampling)
        if params is not None:
            given = given.with_defaults(params.flat())
        return given.with_defaults(self.defaults)

    def _stream(
        self,
        ids: Sequence[int],
        params: SamplingParams,
        interventions: Sequence[Intervention],
        *,
        is_continuation: bool,
        on_progress: Callable[[int, int], None] | None,
    ) -> Stream:
        text = TextStream(
            self.tokenizer, params.stop, skip_special_tokens=True, is_continuation=is_continuation
        )
        stop_ids = sorted(self.tokenizer.stop_ids)
        return Stream(
            self._router, text, ids, params, stop_ids, interventions=interventions, on_progress=on_progress
        )
