"""Prompt tuning: trained vectors before the text (Lester et al., "The Power of Scale", 2021).

    x = [p_1 ... p_P, embedding(ids)]

The logits of the virtual tokens are dropped, so that the model's interface stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from zeropoint.errors import BadInput
from zeropoint.layers.embedding import Embedding
from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.tune.adapters import Adapter

__all__ = ["PromptTuning", "VirtualTokens", "attach_prompt", "virtual_token_config"]

_PLACEHOLDER = -1  # the id of a virtual token between the model's input and its embedding


@dataclass(frozen=True)
class PromptTuning(Adapter):
    """A prompt of trained embeddings."""

    peft_type: ClassVar[str] = "PROMPT_TUNING"
    can_merge: ClassVar[bool] = False
    can_pack: ClassVar[bool] = False
    peft_names: ClassVar[Mapping[str, str]] = {"weight": "prompt_embeddings"}

    n_virtual: int = option(16, 1, 4096, "Virtual tokens before the text.")

    def add_to(self, model: Decoder) -> None:
        """Begin with the embeddings of random tokens, which Lester et al. found better than noise."""
        table_VD = model.embedding.weight.detach()
        attach_prompt(model, VirtualTokens(table_VD[torch.randint(len(table_VD), (self.n_virtual,))].clone()))

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """The fields of peft's `PromptTuningConfig`."""
        return virtual_token_config(model, self.n_virtual) | {"prompt_tuning_init": "RANDOM"}

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of a `PromptTuningConfig` or, once it is trained, of a `PromptEncoderConfig`."""
        return cls(int(config["num_virtual_tokens"]))


class VirtualTokens(nn.Module):
    """The trained vectors: `weight` [P, D]."""

    def __init__(self, initial_PD: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(initial_PD)

    @property
    def n_virtual(self) -> int:
        """The number of virtual tokens."""
        return len(self.weight)

    def forward(self) -> Tensor:
        """The vectors [P, D]."""
        return self.weight


class PromptedEmbedding(Embedding):
    """The model's embedding, which gives the prompt's vectors for placeholders."""

    def __init__(self, base: Embedding, prompt: nn.Module) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(base.__dict__)  # takes the parameters over, under their names
        self.prompt = prompt

    def forward(
        self, ids_BT: Tensor, positions_BT: Tensor | None = None, types_BT: Tensor | None = None
    ) -> Tensor:
        """The residual stream [B, T, D]."""
        x_BTD = super().forward(ids_BT.clamp(min=0), positions_BT, types_BT)
        if not _is_prompted(ids_BT):
            return x_BTD
        prompt_PD = self.spec.scale * self.prompt()
        prompt_BPD = prompt_PD.expand(len(x_BTD), -1, -1)
        return torch.cat([prompt_BPD, x_BTD[:, len(prompt_PD) :]], dim=1)


def attach_prompt(model: Decoder, prompt: nn.Module) -> None:
    """Put the prompt before every text. Raises BadInput for an embedding that adds positions or a norm."""
    embedding = model.embedding
    if embedding.position is not None or embedding.per_layer is not None or embedding.spec.norm is not None:
        raise BadInput(
            "prompt tuning needs a model whose embedding is only a table, as Llama's; use LoRA here"
        )
    if isinstance(embedding, PromptedEmbedding):
        raise BadInput("the model has a prompt already; load the model again before attaching another")
    n_virtual: int = prompt.n_virtual  # type: ignore[assignment]
    model.embedding = PromptedEmbedding(embedding, prompt)

    def prepend(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        ids_BT, *rest = args
        cache = kwargs.get("cache", rest[0] if rest else None)
        if cache is not None and cache.n_tokens:
            return args, kwargs
        if kwargs.get("document_BT") is not None or kwargs.get("mask_BT") is not None:
            raise BadInput("virtual tokens exclude document_BT and padding on the left; leave them out")
        placeholders_BP = ids_BT.new_full((len(ids_BT), n_virtual), _PLACEHOLDER)
        return (torch.cat([placeholders_BP, ids_BT], dim=1), *rest), kwargs

    def drop(module: nn.Module, args: Any, output_BTV: Tensor) -> Tensor:
        return output_BTV[:, n_virtual:] if _is_prompted(args[0]) else output_BTV

    model.register_forward_pre_hook(prepend, with_kwargs=True)
    model.register_forward_hook(drop)


def virtual_token_config(model: Decoder, n_virtual: int) -> dict[str, Any]:
    """What peft's configurations of virtual tokens say about the model."""
    blueprint = model.blueprint
    return {
        "num_virtual_tokens": n_virtual,
        "token_dim": blueprint.d_model,
        "num_layers": blueprint.n_layers,
        "num_attention_heads": blueprint.attention.n_heads,
        "num_transformer_submodules": 1,
    }


def _is_prompted(ids_BT: Tensor) -> bool:
    return bool(ids_BT[0, 0] == _PLACEHOLDER)
