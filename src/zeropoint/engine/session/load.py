"""`load`: from a model's name to a model that answers.

The path goes one way: resolve the name (`catalogue`), open the file (`convert/run_gguf`, which lets
`weights/open_model` decide what kind of file it is), read its blueprint, check that it fits into memory
(`planning`), then read weights and tokenizer in parallel (`parallel_load`) into the native engine.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.blueprint import Blueprint
from zeropoint.catalogue.fetch import resolve
from zeropoint.catalogue.licences import AskLicence
from zeropoint.convert.run_gguf import open_native
from zeropoint.engine.machine import available_memory_bytes
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.session.model import Model
from zeropoint.engine.session.parallel_load import load_in_parallel
from zeropoint.engine_options import ENGINE_OPTIONS, EngineKeywords, EngineOptions
from zeropoint.errors import BadModelFile, ZeropointError
from zeropoint.planning.plan import check_fits, choose_context, make_plan
from zeropoint.sampling.recommended import from_gguf
from zeropoint.settings import Settings
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.gguf import import_tokenizers, load_tokenizer
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.open_model import gguf_blueprint

if TYPE_CHECKING:
    from typing import Unpack

    from zeropoint.catalogue.download.progress import Notice, Progress
    from zeropoint.catalogue.lookup import ModelInfo
    from zeropoint.tokenizers.chat.template import ChatTemplate

__all__ = ["load"]


def load(
    name: str | Path,
    options: EngineOptions | None = None,
    *,
    will_chat: bool = False,
    progress: Progress | None = None,
    notify: Notice | None = None,
    ask_licence: AskLicence | None = None,
    **keywords: Unpack[EngineKeywords],
) -> Model:
    """Load a model by name or path, fetching it first if it is not on this disk.

    name: a catalogue name, a training run (`harbour`, `harbour@best`), the path of a GGUF file or a run, or
    `hf:owner/repo[:file-or-quant]`.
    options: a complete set of engine options; by default that of the settings (environment and TOML files).
    Single options may be given as keywords and override it; None leaves an option as it is:

    {options}

    will_chat: prepare the chat template now, in parallel, rather than at its first use.
    progress(total, done) reports on a download; notify(text) also on what was ignored in the file.
    ask_licence(licence, name) returns whether the user accepts a licence that needs it; without it, a model
    under one is not downloaded until the user has accepted it.
    Raises BadInput, BadModelFile, NetworkError, DiskError, OutOfMemory or MachineError.
    """
    settings = Settings.read()
    options = (options or settings.engine_options()).updated(**keywords)
    resolved = resolve(
        str(name),
        settings=settings,
        progress=progress,
        notice=notify,
        check=_refuse_before_download,
        ask_licence=ask_licence,
    )
    file = open_native(resolved.path)
    blueprint = gguf_blueprint(file)
    options = options.updated(context=choose_context(blueprint, options.context))
    _check_memory(file, blueprint, options, resolved.name)
    import_tokenizers()
    assets = _TextAssets(file, blueprint.n_vocab, options.template)
    engine = NativeEngine(
        file,
        blueprint,
        options,
        make=load_in_parallel(assets.load_tokenizer, assets.load_template if will_chat else lambda: None),
    )
    model = Model(assets.file, blueprint, engine, assets.tokenizer, resolved.name)
    model.template_name = options.template
    model.load_other = load
    if notify is not None:
        for notice in assets.tokenizer.notices:
            notify(notice)
    if assets.template is not None:
        model.template = assets.template
    catalogued = resolved.entry.sampling if resolved.entry is not None else {}
    model.defaults = {**catalogued, **from_gguf(file.metadata, file.name, notify or (lambda text: None))}
    return model


def _refuse_before_download(info: ModelInfo) -> None:
    """Raise BadModelFile for a model that could not run, from the first megabytes of its file."""
    from zeropoint.planning.describe import check_header

    check_header(info)


def _option_lines() -> str:
    return "\n    ".join(f"{option.name}: {option.help}" for option in ENGINE_OPTIONS)


load.__doc__ = (load.__doc__ or "").replace("{options}", _option_lines())


class _TextAssets:
    """The tokenizer and chat template of a model.

    file: the model file; once the tokenizer is built, without the vocabulary's lists.
    """

    tokenizer: Tokenizer
    template: ChatTemplate | None = None

    def __init__(self, file: GgufModel, n_vocab: int, template_name: str | None) -> None:
        self.file = file
        self._n_vocab = n_vocab
        self._template_name = template_name

    def load_tokenizer(self) -> None:
        """Build the tokenizer. Raises BadModelFile."""
        self.tokenizer = load_tokenizer(self.file)
        if self.tokenizer.n_vocab != self._n_vocab:
            raise BadModelFile(
                f"{self.file.name}: metadata `tokenizer.ggml.tokens` has {self.tokenizer.n_vocab} tokens; "
                f"the embedding has {self._n_vocab} rows"
            )
        self.file = self.file.without_vocabulary()

    def load_template(self) -> None:
        """Compile the chat template in its worker process; its errors are raised at first use."""
        from zeropoint.tokenizers.chat import template

        with contextlib.suppress(ZeropointError):
            self.template = template.load_template(self.file, self.tokenizer, self._template_name)
            self.template.check()


def _check_memory(file: GgufModel, blueprint: Blueprint, options: EngineOptions, name: str) -> None:
    """Raise OutOfMemory where weights, cache and activations exceed the free memory."""
    plan = make_plan(
        blueprint,
        sum(tensor.n_bytes for tensor in file.tensors.values()),
        options.context or blueprint.n_ctx,
        bandwidth=1e10,  # affects only the expected speed, which is not used here
        available_bytes=available_memory_bytes(),
        options=options,
    )
    check_fits(plan, name)
