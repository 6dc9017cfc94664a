"""Prefix tuning: trained keys and values that every layer attends to (Li and Liang, "Prefix-Tuning", 2021).

The prefix is what the cache holds before the first token; it has no embedding and passes through no layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from zeropoint.errors import BadInput
from zeropoint.layers.cache import Cache, KeyValueCache
from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.tune.adapters import Adapter
from zeropoint.tune.adapters.prompt import virtual_token_config

__all__ = ["Prefix", "PrefixTuning"]


@dataclass(frozen=True)
class PrefixTuning(Adapter):
    """Trained keys and values before the text, in every layer."""

    peft_type: ClassVar[str] = "PREFIX_TUNING"
    can_merge: ClassVar[bool] = False
    can_pack: ClassVar[bool] = False
    peft_names: ClassVar[Mapping[str, str]] = {"weight": "prompt_embeddings"}

    n_virtual: int = option(16, 1, 4096, "Positions before the text.")

    def add_to(self, model: Decoder) -> None:
        """Fill every empty cache with the prefix. Raises BadInput unless all layers have the same cache."""
        attentions = {(a.n_kv_heads, a.d_head) for a in model.blueprint.attentions}
        has_others = len(model.blueprint.attentions) != model.blueprint.n_layers
        if len(attentions) != 1 or has_others or not all(a.has_keys for a in model.blueprint.attentions):
            raise BadInput("prefix tuning needs attention with the same heads in every block; use LoRA here")
        if hasattr(model, "prefix"):
            raise BadInput("the model has a prefix already; load the model again before attaching another")
        ((n_kv_heads, d_head),) = attentions
        model.prefix = Prefix(self.n_virtual, len(model.blocks), n_kv_heads, d_head)
        model.register_forward_pre_hook(_fill_cache, with_kwargs=True)

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """The fields of peft's `PrefixTuningConfig`, which counts the heads of keys."""
        attention = model.blueprint.attention
        sizes = {"token_dim": attention.d_kv, "num_attention_heads": attention.n_kv_heads}
        config = virtual_token_config(model, self.n_virtual) | sizes
        return config | {"prefix_projection": False, "encoder_hidden_size": attention.d_kv}

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of a `PrefixTuningConfig`. Raises BadInput for one with a projection."""
        if config.get("prefix_projection"):
            raise BadInput("adapter_config.json: `prefix_projection` is not supported; train without it")
        return cls(int(config["num_virtual_tokens"]))


class Prefix(nn.Module):
    """The prefix: `weight` [P, L * 2 * N * K], keys before values in each layer, as peft stores it."""

    def __init__(self, n_virtual: int, n_layers: int, n_kv_heads: int, d_head: int) -> None:
        super().__init__()
        self.n_virtual, self.shape = n_virtual, (n_layers, 2, n_kv_heads, d_head)
        self.weight = nn.Parameter(torch.randn(n_virtual, n_layers * 2 * n_kv_heads * d_head))

    def fill(self, cache: Cache, n_rows: int) -> None:
        """Put the prefix into an empty cache of n_rows texts."""
        layers_L2NPK = self.weight.view(self.n_virtual, *self.shape).permute(1, 2, 3, 0, 4)
        for layer, kv_2NPK in zip(cache.layers, layers_L2NPK, strict=True):
            if isinstance(layer, KeyValueCache):
                key_BNPK, value_BNPK = (part.expand(n_rows, -1, -1, -1) for part in kv_2NPK)
                layer.extend(key_BNPK, value_BNPK)


def _fill_cache(model: Decoder, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The model's arguments with a cache that holds the prefix."""
    ids_BT: Tensor = args[0]
    cache = kwargs.get("cache", args[1] if len(args) > 1 else None)
    if cache is not None and cache.n_tokens:
        return args, kwargs
    if kwargs.get("document_BT") is not None:
        raise BadInput("a prefix excludes document_BT; leave it out, and give each text a row")
    prefix: Prefix = model.prefix  # type: ignore[assignment]
    if cache is None:
        cache = model.new_cache(ids_BT.shape[1] + prefix.n_virtual)
    prefix.fill(cache, len(ids_BT))
    others = {name: value for name, value in kwargs.items() if name != "cache"}
    return (ids_BT, cache, *args[2:]), others
