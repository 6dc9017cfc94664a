"""What a run needs before its first step: batches of both splits, a tokenizer, a blueprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import Batches
from zeropoint.data.corpus import open_corpus
from zeropoint.data.masked_lm import MaskedBatches
from zeropoint.data.pairs import PairBatches
from zeropoint.data.parallel_corpus import ParallelCorpus, open_parallel_corpus
from zeropoint.data.text_codec import TextCodec
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput
from zeropoint.train.config.config import DataConfig, RunConfig
from zeropoint.train.objectives.masked_lm import MaskedLM
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss
from zeropoint.train.run.build_model import blueprint_of

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """training, validation: what is learned and what is judged by. tokenizer_json: its file's content.

    sha256: of what was read, by name. examples: held-out sentences with their translations, which a run that
    translates shows now and then; always the same.
    """

    training: Batches
    validation: Batches
    blueprint: Blueprint
    tokenizer: TextCodec
    tokenizer_json: bytes
    sha256: Mapping[str, str]
    examples: Sequence[tuple[str, str]] = ()


def prepare(config: RunConfig, notice: Callable[[str], None] = lambda text: None) -> Prepared:
    """Read the source, make or read the tokenizer, split, and size the model.

    Raises BadInput naming the file or field, NetworkError, DiskError.
    """
    data, train = config.data, config.train
    if isinstance(config.objective, Seq2SeqLoss):
        return _prepare_pairs(config, config.objective, notice)
    corpus = open_corpus(data.source, _tokenising(data), notice=notice)
    coding = corpus.codec
    n_vocab = coding.n_vocab
    if isinstance(config.objective, MaskedLM):
        n_vocab = max(n_vocab, coding.mask_id + 1)
    blueprint = blueprint_of(config.model, n_vocab)
    if isinstance(config.objective, NextToken) and not blueprint.is_decoder:
        raise BadInput(
            "model is no decoder, and the objective next_token asks each token what comes after it; give a "
            'model.blueprint that sees only what came before, or objective.kind = "masked_lm" or "seq2seq"'
        )
    if data.n_ctx > blueprint.n_ctx:
        raise BadInput(
            f"data.n_ctx is {data.n_ctx} and the model's n_ctx {blueprint.n_ctx}; an example may be no "
            "longer than what the model reads"
        )
    n_ctx = data.n_ctx or blueprint.n_ctx
    training, validation = corpus.batches(data.order, n_ctx=n_ctx, n_rows=train.batch_size, seed=train.seed)
    if isinstance(config.objective, MaskedLM):
        if any(block.attention.is_causal for block in blueprint.blocks):
            raise BadInput(
                "model sees only what came before, and what is masked is told by both sides; give a"
                " model.blueprint whose attention has is_causal = false"
            )
        training, validation = (
            MaskedBatches(one, coding, train.seed, config.objective.mask_prob)
            for one in (training, validation)
        )
    sha256 = {corpus.name: corpus.sha256}
    return Prepared(training, validation, blueprint, coding, coding.content, sha256)


def _tokenising(data: DataConfig) -> TokenizeOptions:
    return TokenizeOptions(data.tokenizer, data.n_vocab, data.validation, data.field, data.loss)


def _prepare_pairs(config: RunConfig, objective: Seq2SeqLoss, notice: Callable[[str], None]) -> Prepared:
    data, train = config.data, config.train
    found = open_parallel_corpus(
        data.source, data.languages, TokenizeOptions(data.tokenizer, data.n_vocab), notice=notice
    )
    blueprint = blueprint_of(config.model, found.codec.n_vocab)
    if not blueprint.encoder:
        raise BadInput(
            "model has no encoder, and sequence-to-sequence reads a source with one; give a blueprint"
        )
    training, validation = (
        PairBatches(pairs, train.batch_size, train.seed, objective.padding)
        for pairs in (found.train, found.validation)
    )
    examples = _examples(found, config.sample.n_examples, blueprint.n_ctx)
    coding = found.codec
    return Prepared(training, validation, blueprint, coding, coding.content, found.sha256, examples)


def _examples(found: ParallelCorpus, n: int, n_ctx: int) -> list[tuple[str, str]]:
    """Up to n pairs of those held out whose source the model has room for, from all of the part."""
    fitting = [
        text
        for text, (source, _) in zip(found.validation_texts, found.validation, strict=True)
        if len(source) <= n_ctx
    ]
    n = min(n, len(fitting))
    return [fitting[i * len(fitting) // n] for i in range(n)]
