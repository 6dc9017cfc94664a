"""Build the model of a configuration: its blueprint, and the module with initialized weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from zeropoint.blueprint import Block, Blueprint, Embedding, Head, catalog
from zeropoint.blueprint.check import check
from zeropoint.blueprint.io import from_toml
from zeropoint.blueprint.parts.attention import Attention, Bias
from zeropoint.blueprint.parts.ffn import MLP, Gated
from zeropoint.blueprint.parts.norm import LayerNorm, RMSNorm
from zeropoint.blueprint.parts.position import Learned, Rope
from zeropoint.blueprint.rules import in_range
from zeropoint.errors import BadInput
from zeropoint.files.regular_file import read_regular
from zeropoint.files.toml_text import MAX_TOML_BYTES
from zeropoint.models.build import build
from zeropoint.models.decoder import Decoder
from zeropoint.models.encoder import Encoder
from zeropoint.models.initialize import initialize
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.models.stack import Stack
from zeropoint.train.config.config import ModelConfig, RunConfig

__all__ = ["blueprint_of", "build_model"]


def build_model(config: RunConfig, blueprint: Blueprint, device: torch.device) -> Decoder | Encoder | Seq2Seq:
    """The module on a device, with initial weights that depend on the seed only."""
    model = config.model
    module = build(blueprint, seed=None, dropout=model.dropout, attention_dropout=model.attention_dropout)
    initialize(module, config.train.seed, None if model.init == "default" else model.init)
    for stack in module.modules():
        if isinstance(stack, Stack):
            stack.gradient_checkpointing = model.gradient_checkpointing
    return module.to(device)


def blueprint_of(model: ModelConfig, n_vocab: int) -> Blueprint:
    """The checked blueprint of a configuration, with the tokenizer's n_vocab. Raises BadInput."""
    if not model.blueprint:
        blueprint = _from_sizes(model, n_vocab)
    elif "\n" in model.blueprint:
        blueprint = from_toml(model.blueprint, "model.blueprint")
    elif model.blueprint.endswith(".toml"):
        try:
            blueprint = from_toml(read_regular(Path(model.blueprint), MAX_TOML_BYTES), model.blueprint)
        except OSError as error:
            raise BadInput(f"model.blueprint: {model.blueprint} cannot be read: {error.strerror}") from None
    else:
        blueprint = catalog.load(model.blueprint)
    blueprint = replace(blueprint, n_vocab=n_vocab)
    check(blueprint, "model")
    return blueprint


def _from_sizes(model: ModelConfig, n_vocab: int) -> Blueprint:
    m = model
    for field in ("n_layers", "n_heads", "d_model", "n_ctx"):
        if getattr(m, field) < 1:
            raise BadInput(
                f"model.{field} is {getattr(m, field)}; give a size of 1 or more, or a model.blueprint"
            )
    for problem in in_range("model.n_layers", m.n_layers):  # before allocating that many blocks
        raise BadInput(problem)
    if m.d_model % m.n_heads:
        raise BadInput(
            f"model.d_model is {m.d_model} and model.n_heads is {m.n_heads}; d_model must be a multiple of "
            "n_heads"
        )
    d_head, n_kv_heads = m.d_model // m.n_heads, m.n_kv_heads or m.n_heads
    bias: Bias = "all" if m.has_bias else "none"
    if m.family == "gpt2":
        norm = LayerNorm(1e-5, has_bias=m.has_bias)
        attention = Attention(m.n_heads, n_kv_heads, d_head, bias=bias)
        block = Block(attention, MLP(m.d_ff or 4 * m.d_model, m.activation, has_bias=m.has_bias), norm)
        embedding = Embedding(Learned(m.n_ctx))
        return Blueprint(
            "gpt2", m.d_model, n_vocab, m.n_ctx, (block,) * m.n_layers, norm, embedding, Head(m.is_tied)
        )
    rms = RMSNorm(1e-5)
    attention = Attention(m.n_heads, n_kv_heads, d_head, Rope(10000.0, d_head), bias=bias)
    ffn = Gated(m.d_ff or -(-8 * m.d_model // (3 * 32)) * 32)
    blocks = (Block(attention, ffn, rms),) * m.n_layers
    return Blueprint("llama", m.d_model, n_vocab, m.n_ctx, blocks, rms, head=Head(m.is_tied))
