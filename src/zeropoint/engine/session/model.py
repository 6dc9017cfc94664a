"""`load()` and the model it gives: text in, text out, and the numbers in between.

>>> model = zeropoint.load("smollm2:135m")
>>> for piece in model.chat("What is a zero point?"):
...     print(piece, end="")
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint import families
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.check import check
from zeropoint.blueprint.interventions import Intervention
from zeropoint.blueprint.sources import stored_names
from zeropoint.catalogue.fetch import resolve
from zeropoint.engine.contract import LogitLens, LogitLensRows, Stepper, Tap, Trace
from zeropoint.engine.native.engine import MOST_THREADS, NativeEngine, default_threads
from zeropoint.engine.native.kv_cache import CacheOptions
from zeropoint.engine.run_gguf import gguf_of
from zeropoint.engine.session.parallel_load import load_in_parallel
from zeropoint.engine.session.score import Score, named_ids, score
from zeropoint.engine.session.stream import Stream, StreamMultiplexer
from zeropoint.engine.tap_requests import check_layer
from zeropoint.errors import BadInput, BadModelFile, ZeropointError
from zeropoint.planning.plan import check_fits, choose_context, make_plan
from zeropoint.planning.roofline import available_memory_bytes
from zeropoint.sampling.params import SamplingParams
from zeropoint.settings import Settings
from zeropoint.tokenizers.core.sanitize import printable
from zeropoint.tokenizers.core.stream import TextStream
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.gguf import import_tokenizers, load_tokenizer
from zeropoint.weights.duplicate_tensors import check_duplicates, find_duplicates
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.catalogue.download.progress import Notice, Progress
    from zeropoint.tokenizers.chat.template import ChatTemplate

__all__ = ["Model", "Score", "blueprint_of", "load"]


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
        return self._stream(ids, params, interventions, is_inside=False, on_progress=on_progress)

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
            self._read(prompt), params, interventions, is_inside=True, on_progress=on_progress
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
        is_inside: bool,
        on_progress: Callable[[int, int], None] | None,
    ) -> Stream:
        text = TextStream(self.tokenizer, params.stop, skip_special=True, inside=is_inside)
        stop_ids = sorted(self.tokenizer.stop_ids)
        return Stream(
            self._router, text, ids, params, stop_ids, interventions=interventions, on_progress=on_progress
        )


def load(
    name: str | Path,
    *,
    threads: int | None = None,
    context: int | None = None,
    isa: str | None = None,
    exact: bool | None = None,
    cache_type: str | None = None,
    cache_memory: int | None = None,
    window: int | None = None,
    sinks: int | None = None,
    template: str | None = None,
    will_chat: bool = False,
    progress: Progress | None = None,
    notify: Notice | None = None,
) -> Model:
    """Load a model by name or path, fetching it first if need be.

    name: a catalogue name, a path, `run:NAME[@step]` or `hf:owner/repo[:file-or-quant]`. threads: by default
    every usable processor. context: positions of the cache. isa: scalar, avx2, avx512, neon,
    neon_dotprod or auto. exact: float arithmetic throughout, slower. template: a built-in chat template
    instead of the model's own. will_chat: it is made ready now, and not when it is first used. cache_type:
    int16, f16 or int8. cache_memory: most megabytes of all caches. window: positions a text keeps, the first
    `sinks` among them, so that it may go on without end.
    What is not given is taken from the settings (ZEROPOINT_THREADS and the like, then the TOML files).
    progress(total, done) and notify(text) tell of a download.
    Raises BadInput, BadModelFile, NetworkError, DiskError, OutOfMemory or MachineError.
    """
    given = {"threads": threads, "context": context, "isa": isa, "exact": exact, "template": template}
    kept = {"cache_type": cache_type, "cache_memory": cache_memory, "window": window, "sinks": sinks}
    settings = Settings.read({**given, **kept})
    threads, context, isa, exact, template = (settings.get(key).value for key in given)
    cache = CacheOptions(*(settings.get(key).value for key in kept))
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise BadInput(f"threads is {threads}; expected 1 to {MOST_THREADS}")
    found = resolve(str(name), settings=settings, progress=progress, notice=notify)
    file = open_gguf(gguf_of(found.path))
    blueprint = blueprint_of(file)
    n_ctx = choose_context(blueprint, context)
    _check_memory(file, blueprint, n_ctx, exact, cache, found.name)
    import_tokenizers()
    words = TextAssets(file, blueprint.n_vocab, template)
    engine = NativeEngine(
        file,
        blueprint,
        n_ctx=n_ctx,
        n_threads=threads or default_threads(),
        isa=isa,
        is_exact=exact,
        cache=cache,
        make=load_in_parallel(words.make_tokenizer, words.make_template if will_chat else lambda: None),
    )
    model = Model(words.file, blueprint, engine, words.tokenizer, found.name)
    model.template_name = template
    if words.template is not None:
        model.template = words.template
    model.defaults = dict(found.entry.sampling) if found.entry is not None else {}
    return model


class TextAssets:
    """What a model is beside its weights. file: the model's, in the end without the vocabulary's lists."""

    tokenizer: Tokenizer
    template: ChatTemplate | None = None

    def __init__(self, file: GgufModel, n_vocab: int, template_name: str | None) -> None:
        self.file = file
        self._n_vocab = n_vocab
        self._template_name = template_name

    def make_tokenizer(self) -> None:
        """Raises BadModelFile."""
        self.tokenizer = load_tokenizer(self.file)
        if self.tokenizer.n_vocab != self._n_vocab:
            raise BadModelFile(
                f"{self.file.name}: metadata `tokenizer.ggml.tokens` has {self.tokenizer.n_vocab} tokens; "
                f"the embedding has {self._n_vocab} rows"
            )
        self.file = self.file.without_vocabulary()

    def make_template(self) -> None:
        """Compile it in its process. What is wrong with it is said when it is used."""
        from zeropoint.tokenizers.chat import template

        with contextlib.suppress(ZeropointError):
            self.template = template.load_template(self.file, self.tokenizer, self._template_name)
            self.template.check()


def _check_memory(
    file: GgufModel, blueprint: Blueprint, n_ctx: int, is_exact: bool, cache: CacheOptions, name: str
) -> None:
    plan = make_plan(
        blueprint,
        sum(tensor.n_bytes for tensor in file.tensors.values()),
        n_ctx,
        bandwidth=1e10,  # matters to speed only; any number tells whether it fits
        available_bytes=available_memory_bytes(),
        is_exact=is_exact,
        cache=cache,
    )
    check_fits(plan, name)


def blueprint_of(file: GgufModel) -> Blueprint:
    """The checked blueprint of a GGUF file. Raises BadModelFile."""
    family = families.for_gguf(file)
    blueprint: Blueprint = family.from_gguf(file)
    try:
        check(blueprint, file.name)
    except BadInput as error:
        raise BadModelFile(str(error)) from None
    # A bias or an adapter that is passed over would change every answer without a word.
    sources = families.gguf_sources(file, blueprint)
    placed = {name for source in sources.values() for name in stored_names(source)}
    unused = file.tensors.keys() - placed - set(families.FACTOR_TENSORS)
    repeats = find_duplicates(unused, families.duplicate_names("gguf", blueprint), sources)
    unused -= repeats.keys()
    if unused:
        raise BadModelFile(
            f"{file.name}: tensor {printable(min(unused))} has no place in a {blueprint.family} model of "
            f"{blueprint.n_layers} layers; this kind of model cannot be run yet"
        )
    check_duplicates(file, repeats)
    return blueprint
