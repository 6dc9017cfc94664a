"""`Model`: a loaded model that chats, continues and scores text, and shows its internals.

>>> model = zeropoint.load("smollm2:135m")
>>> for piece in model.chat("What is a zero point?"):
...     print(piece, end="")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.interventions import Intervention
from zeropoint.decoding.speculator import MODEL_PREFIXES
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.session.decoding_method import decoding_method
from zeropoint.engine.session.inspection import Inspection
from zeropoint.engine.session.logprobs import LogprobRecorder, make_recorder
from zeropoint.engine.session.prompt_ids import chat_ids
from zeropoint.engine.session.score import Score
from zeropoint.engine.session.stream import Stream, StreamMultiplexer
from zeropoint.errors import BadInput
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.recommended import CHAT_DEFAULTS
from zeropoint.tokenizers.core.stream import TextStream
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.weights.gguf.model import GgufModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.decoding.guidance.guide import Guide
    from zeropoint.decoding.guidance.guided import GuideTokenizer
    from zeropoint.engine.session.chat_request import ChatRequest
    from zeropoint.engine.session.draft_models import DraftModels
    from zeropoint.tokenizers.chat.reply.reply_format import ReplyFormat
    from zeropoint.tokenizers.chat.template import ChatTemplate

__all__ = ["Model", "Score"]

T = TypeVar("T")


class Model(Inspection):
    """A loaded model; `load` returns one. Close it, or use it in a `with` statement, to free its memory.

    engine, tokenizer, blueprint: its parts. streams: its answers in progress. name: as given to `load`.
    defaults: sampling parameters that the publisher recommends, by flat name. load_other: loads a draft
    model.
    Threads may share a model: answers that they ask for advance together, and other calls wait for their
    turn. `close` stops the call of another thread.
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
        self.load_other: Callable[..., Model] = _no_loader
        self.streams = StreamMultiplexer(engine, blueprint.n_ctx)

    @cached_property
    def template(self) -> ChatTemplate:
        """The chat template, in its worker process. Raises BadInput for a model without one."""
        from zeropoint.tokenizers.chat.template import load_template  # here: `generate` needs no worker

        return load_template(self.file, self.tokenizer, self.template_name)

    @property
    def reply_format(self) -> ReplyFormat:
        """How the model writes reasoning and tool calls. Raises BadInput for a model without a template."""
        return self.find_reply_format(for_tools=True)

    def find_reply_format(self, for_tools: bool) -> ReplyFormat:
        """As `reply_format`; for_tools: whether the format of tool calls is needed, too."""
        from zeropoint.tokenizers.chat.reply.reply_format import find_format

        def has_token(text: str) -> bool:
            return self.tokenizer.added_token_id(text) is not None

        return find_format(self.template.source, has_token, for_tools=for_tools)

    def chat(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        *,
        logprobs: bool = False,
        top_logprobs: int = 0,
        named_logprobs: Sequence[str | int] = (),
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        interventions: Sequence[Intervention] = (),
        guide: Guide | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> Stream:
        """Answer a question (a text) or a conversation ([{"role": ..., "content": ...}]).

        Sampling: `params`, or flat names such as temperature=0.2; the publisher's recommendation (`defaults`)
        fills the rest, then `CHAT_DEFAULTS` of `zeropoint.sampling.recommended`.
        logprobs: collect the log-probability of each token in `Stream.logprobs`; top_logprobs: also those of
        this many of the most probable tokens; named_logprobs: and of these, by text (" Paris") or id.
        tools: what the model may call, in OpenAI's form; calls are in `Stream.tool_calls` and its events.
        thinking: whether to reason before the answer, if the template has a switch; the reasoning is in
        `Stream.reasoning`. template_kwargs: other variables of the template, such as reasoning_effort.
        interventions: `AddVector` and `Scale` modify every forward pass, those of the prompt included; such
        an answer shares no KV cache with others. guide: what the answer must look like; one that reaches
        max_tokens is cut off. on_progress(read, total): prompt tokens during prefill.
        Raises BadInput; ContextFull with the prompt's length and the context's.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        from zeropoint.engine.session import chat_request  # here: `generate` parses no reply

        options = chat_request.ChatOptions(tools, thinking, template_kwargs or {})
        request = chat_request.prepare(self, messages, options)
        params = self._params(params, sampling).with_defaults(CHAT_DEFAULTS)
        recorder = make_recorder(self.tokenizer, logprobs, top_logprobs, named_logprobs)
        stream = self._stream(request.ids, params, interventions, request, on_progress, recorder, guide)
        stream.notices += request.notices
        return stream

    def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        logprobs: bool = False,
        top_logprobs: int = 0,
        named_logprobs: Sequence[str | int] = (),
        interventions: Sequence[Intervention] = (),
        guide: Guide | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        **sampling: Any,
    ) -> Stream:
        """Continue a text (or token ids) verbatim, without a chat template. Arguments as in `chat`.

        A parameter that neither the call nor the publisher gives does nothing: the model's own probabilities.
        """
        params = self._params(params, sampling)
        recorder = make_recorder(self.tokenizer, logprobs, top_logprobs, named_logprobs)
        ids = self._document_ids(prompt)
        return self._stream(ids, params, interventions, None, on_progress, recorder, guide)

    def generate_all(self, prompts: Sequence[str | Sequence[int]], **options: Any) -> list[Stream]:
        """Continue many texts (or lists of token ids) together, which is much faster than one after another.

        Each answer is the one that it would be alone. options: as of `generate`. Returns the finished streams
        in the order of the prompts.
        """
        return _finish(self.generate(prompt, **options) for prompt in prompts)

    def chat_all(
        self, conversations: Sequence[str | Sequence[Mapping[str, Any]]], **options: Any
    ) -> list[Stream]:
        """Answer many questions or conversations together; options as of `chat`.

        Returns the finished streams in their order.
        """
        return _finish(self.chat(messages, **options) for messages in conversations)

    def generate_as(
        self,
        kind: type[T],
        messages: str | Sequence[Mapping[str, Any]],
        params: SamplingParams | None = None,
        **sampling: Any,
    ) -> T:
        """Answer as `chat`, with a value of a type: a dataclass, a pydantic model, a list, a Literal...

        The answer is guided by the JSON Schema of the type. Raises BadInput for a type that JSON cannot hold;
        MachineError for an answer that max_tokens cut off.
        """
        from zeropoint.decoding.guidance.guide import Guide
        from zeropoint.engine.session import typed

        guide = Guide.json_schema(typed.schema_of(kind))
        return typed.value_of(kind, self.chat(messages, params, guide=guide, **sampling).text())

    @cached_property
    def draft_models(self) -> DraftModels:
        """Smaller models that guess this one's tokens, by the name that `speculate` gives them."""
        from zeropoint.engine.session.draft_models import DraftModels

        return DraftModels(self)

    @cached_property
    def guide_tokenizer(self) -> GuideTokenizer:
        """The tokenizer as guided generation needs it. Raises BadInput."""
        from zeropoint.decoding.guidance.guided import GuideTokenizer

        return GuideTokenizer(self.tokenizer)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Token ids of a conversation, rendered with the chat template up to the start of the answer.

        Arguments as in `chat`. Raises BadInput; ContextFull for messages that are far too long.
        """
        from zeropoint.engine.session.chat_request import ChatOptions

        options = ChatOptions(tools, thinking, template_kwargs or {})
        return chat_ids(self.tokenizer, self.template, messages, self.engine.n_ctx, options=options)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text; text that spells a control token is encoded as plain text."""
        return self.tokenizer.encode(text)

    def embed(
        self, texts: str | Sequence[str | Sequence[int]], *, pooling: str = "mean", normalize: bool = True
    ) -> NDArray[np.float32]:
        """A vector for each text (or list of token ids), of length 1 if `normalize`: float32 [N, D].

        pooling: the mean of the last hidden states, or that of the last token. Raises BadInput, ContextFull.
        """
        from zeropoint.engine.session.embed import embed

        return embed(self, [texts] if isinstance(texts, str) else texts, pooling, normalize)

    @property
    def weight_bytes(self) -> int:
        """Memory of the weights."""
        return self.engine.weight_bytes

    @property
    def memory_bytes(self) -> int:
        """Memory of the weights and the cache of one full context."""
        return self.engine.weight_bytes + self.engine.cache_bytes

    def _spellings(self) -> list[str]:
        """The text of every token, in the order of ids."""
        return [self.detokenize([index]) for index in range(self.engine.n_vocab)]

    def save_cache(self, ids: Sequence[int], path: str | Path) -> int:
        """Save the KV cache of the longest cached prefix of `ids`; returns its length in tokens.

        Raises BadInput, DiskError.
        """
        from zeropoint.engine.session import kv_snapshot  # here: hashlib loads OpenSSL

        return kv_snapshot.save_cache(self.engine, ids, Path(path))

    def load_cache(self, path: str | Path) -> list[int]:
        """Restore a saved KV cache; returns the token ids that it covers.

        Raises BadInput for a file of another model, other cache options, or a damaged one; DiskError,
        OutOfMemory.
        """
        from zeropoint.engine.session import kv_snapshot

        return kv_snapshot.load_cache(self.engine, Path(path))

    def close(self) -> None:
        """Free weights and KV cache and stop the template's worker; later calls raise BadInput."""
        if "template" in self.__dict__:
            self.template.close()
        if "draft_models" in self.__dict__:
            self.draft_models.close()
        self.engine.close()

    def __repr__(self) -> str:
        from zeropoint.engine.session.describe import describe

        return describe(self)

    def _repr_html_(self) -> str:
        from zeropoint import markup
        from zeropoint.engine.session.describe import facts

        return markup.styled(markup.table(facts(self)))

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _params(self, params: SamplingParams | None, sampling: Mapping[str, Any]) -> SamplingParams:
        flat = SamplingParams.of(**sampling)
        if params is not None:
            flat = flat.with_defaults(params.flat())
        return flat.with_defaults(self.defaults)

    def _stream(
        self,
        ids: Sequence[int],
        params: SamplingParams,
        interventions: Sequence[Intervention],
        chat: ChatRequest | None,
        on_progress: Callable[[int, int], None] | None,
        logprobs: LogprobRecorder | None,
        guide: Guide | None,
    ) -> Stream:
        text = TextStream(
            self.tokenizer,
            params.stop,
            skip_special_tokens=True,
            is_continuation=chat is None,
            shown_ids=chat.shown_ids if chat else frozenset(),
        )
        stop_ids = sorted(self.tokenizer.stop_ids)
        params = params.with_tokenizer(self._spellings)
        if (params.speculate or "").startswith(MODEL_PREFIXES):
            params = params.with_seed()
        return Stream(
            self.streams,
            text,
            ids,
            params,
            stop_ids,
            interventions=interventions,
            on_progress=on_progress,
            logprobs=logprobs,
            reply=chat.parser if chat else None,
            method=decoding_method(self, params, ids, guide),
        )


def _no_loader(name: str, **_: object) -> NoReturn:
    raise BadInput(f"{name}: open the model with zeropoint.load to use a draft model")


def _finish(streams: Iterable[Stream]) -> list[Stream]:
    """Complete all streams, which advance together; if one fails, the others are cancelled."""
    started: list[Stream] = []
    try:
        started.extend(streams)
        for stream in started:
            stream.text()
    except BaseException:
        for stream in started:
            stream.close()
        raise
    return started
