"""Prepare a run: open the data, train or load the tokenizer, and choose the blueprint and the batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import Batches
from zeropoint.data.corpus import open_corpus
from zeropoint.data.parallel_corpus import ParallelCorpus, open_parallel_corpus
from zeropoint.data.text_codec import TextCodec
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput
from zeropoint.train.config.config import DataConfig, RunConfig
from zeropoint.train.run.build_model import blueprint_of

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """The inputs of a run. training, validation: the two splits. tokenizer_json: content of tokenizer.json.

    sha256: hash of each data file, by name. examples: held-out (source, reference) sentences that a
    translation run samples; the same ones every time.
    """

    training: Batches
    validation: Batches
    blueprint: Blueprint
    tokenizer: TextCodec
    tokenizer_json: bytes
    sha256: Mapping[str, str]
    examples: Sequence[tuple[str, str]] = ()


def prepare(config: RunConfig, notice: Callable[[str], None] = lambda text: None) -> Prepared:
    """Open the data and the tokenizer, split the data, and size the model.

    Raises BadInput naming the file or setting, NetworkError, DiskError.
    """
    if config.objective.data == "pairs":
        return _prepare_pairs(config, notice)
    data, objective = config.data, config.objective
    corpus = open_corpus(data.source, _tokenize_options(data), notice=notice)
    codec = corpus.codec
    blueprint = blueprint_of(config.model, objective.n_vocab(codec))
    objective.check_blueprint(blueprint)
    if data.n_ctx > blueprint.n_ctx:
        raise BadInput(
            f"data.n_ctx is {data.n_ctx} but the model's n_ctx is {blueprint.n_ctx}; examples cannot be "
            "longer than the model's context"
        )
    seed = config.train.seed
    n_ctx = data.n_ctx or blueprint.n_ctx
    splits = corpus.batches(data.order, n_ctx=n_ctx, n_rows=config.train.batch_size, seed=seed)
    training, validation = (objective.text_batches(split, codec, seed) for split in splits)
    return Prepared(training, validation, blueprint, codec, codec.content, {corpus.name: corpus.sha256})


def _tokenize_options(data: DataConfig) -> TokenizeOptions:
    return TokenizeOptions(data.tokenizer, data.n_vocab, data.validation, data.field, data.loss)


def _prepare_pairs(config: RunConfig, notice: Callable[[str], None]) -> Prepared:
    data, train, objective = config.data, config.train, config.objective
    corpus = open_parallel_corpus(
        data.source, data.languages, TokenizeOptions(data.tokenizer, data.n_vocab), notice=notice
    )
    codec = corpus.codec
    blueprint = blueprint_of(config.model, objective.n_vocab(codec))
    objective.check_blueprint(blueprint)
    training, validation = (
        objective.pair_batches(pairs, train.batch_size, train.seed)
        for pairs in (corpus.train, corpus.validation)
    )
    examples = _examples(corpus, config.sample.n_examples, blueprint.n_ctx)
    return Prepared(training, validation, blueprint, codec, codec.content, corpus.sha256, examples)


def _examples(corpus: ParallelCorpus, n: int, n_ctx: int) -> list[tuple[str, str]]:
    """Up to n validation pairs, evenly spaced, whose source fits the context."""
    fitting = [
        text
        for text, (source, _) in zip(corpus.validation_texts, corpus.validation, strict=True)
        if len(source) <= n_ctx
    ]
    n = min(n, len(fitting))
    return [fitting[i * len(fitting) // n] for i in range(n)]
