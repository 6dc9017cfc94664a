"""A block: attention or a recurrence, then a feed-forward network, each added to the residual stream.

The five placements of norms, for a sublayer f (mixer, cross-attention or feed-forward):

    pre       x = x + f(norm(x))                              GPT-2, Llama (Xiong et al., 2020)
    post      x = norm(x + f(x))                              the 2017 Transformer, BERT
    sandwich  x = x + norm(f(norm(x)))                        Gemma 2
    output    x = x + norm(f(x))                              OLMo 2
    parallel  x = x + mix(norm(x)) + ffn(norm(x))             phi-2: both read the same normalized x

Granite multiplies what each sublayer adds by a constant, `residual_scale`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.ffn import FFN, MLP, ChannelMix, Gated
from zeropoint.blueprint.spec import Block as Spec
from zeropoint.errors import BadInput
from zeropoint.layers import recurrence
from zeropoint.layers.attention.cross_attention import CrossAttention
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.cache import KeysValues, LayerCache, Memory, StateCache
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.ffn import channel_mix, gated, mixture, mlp
from zeropoint.layers.norm import norm
from zeropoint.layers.per_layer import PerLayerInput
from zeropoint.layers.position import Rotation
from zeropoint.layers.taps import Tapped, intervene
from zeropoint.layers.token_positions import TokenPositions

__all__ = ["Block"]

Lend = Callable[[KeysValues], None]


class MixerInputs(NamedTuple):
    """What a mixer reads apart from x: positions, its cache, and what only some mixers read."""

    positions: TokenPositions | None
    cache: LayerCache | None
    score_bias_HTS: Tensor | None
    rotation: Rotation | None
    shared: recurrence.Shared | None
    borrowed: KeysValues | None
    lend: Lend | None


class Block(Tapped):
    """A mixer (self-attention or a recurrence), cross-attention if the spec has it, and a feed-forward
    network, with their norms.
    """

    def __init__(
        self, spec: Spec, d_model: int, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        """Build the layers for a spec.

        dropout: on the output of each sublayer (Vaswani et al., 2017, section 5.4). attention_dropout: on the
        attention weights (their code, and GPT-2). Both act only while training.
        """
        super().__init__()
        self.placement = spec.placement
        self.residual_scale = spec.residual_scale
        self.dropout = Dropout(dropout)
        self.mixer_name = spec.mixer
        if spec.placement != "output":
            self.add_module(f"{spec.mixer}_norm", norm(spec.norm, d_model))
        if spec.attention is not None:
            self.attention = SelfAttention(spec.attention, d_model, attention_dropout)
        if spec.recurrence is not None:
            self.recurrence = recurrence.build(spec.recurrence, d_model)
        self.cross_attention: CrossAttention | None = None
        if spec.cross_attention is not None:
            self.cross_attention_norm = norm(spec.norm, d_model)
            self.cross_attention = CrossAttention(spec.cross_attention, d_model, attention_dropout)
        if spec.placement in ("sandwich", "output"):
            self.add_module(f"{spec.mixer}_output_norm", norm(spec.norm, d_model))
        self.ffn: nn.Module | None = None
        if spec.ffn is not None:
            self.ffn = feed_forward(spec.ffn, d_model)
            if spec.placement not in ("parallel", "output"):
                self.ffn_norm = norm(spec.norm, d_model)
            if spec.placement in ("sandwich", "output"):
                self.ffn_output_norm = norm(spec.norm, d_model)

        self.per_layer: PerLayerInput | None = None
        if spec.per_layer is not None:
            self.per_layer = PerLayerInput(spec.per_layer, d_model)
            self.per_layer_norm = norm(spec.norm, d_model)
        self.output_scale = OutputScale() if spec.has_output_scale else None
        self.has_output_tap = spec.output_tap == "output"

    def forward(
        self,
        x_BTD: Tensor,
        positions: TokenPositions | None = None,
        cache: LayerCache | None = None,
        score_bias_HTS: Tensor | None = None,
        memory: Memory | None = None,
        rotation: Rotation | None = None,
        shared: recurrence.Shared | None = None,
        borrowed: KeysValues | None = None,
        lend: Lend | None = None,
        per_layer_BTP: Tensor | None = None,
    ) -> Tensor:
        """The residual stream after the block: [B, T, D].

        memory: what cross-attention attends to; raises BadInput if the block has cross-attention and gets
        none. shared: what blocks leave for later ones in the same pass. per_layer_BTP: the block's own input
        for each token, if the spec has one. The other arguments are those of `SelfAttention.forward`.
        """
        inputs = MixerInputs(positions, cache, score_bias_HTS, rotation, shared, borrowed, lend)
        match self.placement:
            case "pre":
                x_BTD = self.pre(x_BTD, inputs, memory)
            case "post":
                x_BTD = self.post(x_BTD, inputs, memory)
            case "sandwich":
                x_BTD = self.sandwich(x_BTD, inputs)
            case "output":
                x_BTD = self.output(x_BTD, inputs)
            case "parallel":
                x_BTD = self.parallel(x_BTD, inputs)
        if self.per_layer is not None:
            x_BTD = self.add(x_BTD, self.per_layer_norm(self.per_layer(x_BTD, per_layer_BTP)))
        if self.output_scale is not None:
            x_BTD = x_BTD * self.output_scale.weight
        return intervene(self.taps, "output", x_BTD) if self.has_output_tap else x_BTD

    def pre(self, x: Tensor, inputs: MixerInputs, memory: Memory | None) -> Tensor:
        """x + f(norm(x)): the stream itself is never normalized."""
        x = self.after(self.mixer_name, self.add(x, self.mix(self.mixer_norm(x), inputs)))
        if self.cross_attention is not None:
            crossed = self.cross_attention(self.cross_attention_norm(x), *required(memory))
            x = self.after("cross_attention", self.add(x, crossed))
        if self.ffn is not None:
            x = self.after("ffn", self.add(x, self.transform(self.ffn, self.ffn_norm(x), inputs)))
        return x

    def post(self, x: Tensor, inputs: MixerInputs, memory: Memory | None) -> Tensor:
        """norm(x + f(x)): the stream is normalized after every addition."""
        x = self.after(self.mixer_name, self.mixer_norm(self.add(x, self.mix(x, inputs))))
        if self.cross_attention is not None:
            crossed = self.cross_attention(x, *required(memory))
            x = self.after("cross_attention", self.cross_attention_norm(self.add(x, crossed)))
        if self.ffn is not None:
            x = self.after("ffn", self.ffn_norm(self.add(x, self.transform(self.ffn, x, inputs))))
        return x

    def sandwich(self, x: Tensor, inputs: MixerInputs) -> Tensor:
        """x + norm(f(norm(x))): a second norm bounds what each sublayer adds."""
        mixed = self.mixer_output_norm(self.mix(self.mixer_norm(x), inputs))
        x = self.after(self.mixer_name, self.add(x, mixed))
        if self.ffn is not None:
            x = self.after(
                "ffn", self.add(x, self.ffn_output_norm(self.transform(self.ffn, self.ffn_norm(x), inputs)))
            )
        return x

    def output(self, x: Tensor, inputs: MixerInputs) -> Tensor:
        """x + norm(f(x)): only what each sublayer adds is normalized."""
        x = self.after(self.mixer_name, self.add(x, self.mixer_output_norm(self.mix(x, inputs))))
        if self.ffn is not None:
            x = self.after("ffn", self.add(x, self.ffn_output_norm(self.transform(self.ffn, x, inputs))))
        return x

    def parallel(self, x: Tensor, inputs: MixerInputs) -> Tensor:
        """x + mix(n) + ffn(n) with n = norm(x): one norm, and both sublayers can run at once."""
        n = self.mixer_norm(x)
        x = self.add(x, self.mix(n, inputs))
        if self.ffn is not None:
            x = self.add(x, self.transform(self.ffn, n, inputs))
        return self.after("ffn", x)

    def add(self, x: Tensor, output: Tensor) -> Tensor:
        """The residual stream plus a sublayer's output, after dropout and scaling."""
        output = self.dropout(output)
        return x + (output if self.residual_scale == 1 else self.residual_scale * output)

    def mix(self, x_BTD: Tensor, inputs: MixerInputs) -> Tensor:
        """The output of attention or recurrence: [B, T, D]."""
        positions, cache, score_bias_HTS, rotation, shared, borrowed, lend = inputs
        if self.mixer_name == "recurrence":
            more = (shared,) if isinstance(self.recurrence, recurrence.SharingLayer) else ()
            mixed_BTD: Tensor = self.recurrence(x_BTD, positions, cache, *more)
            return mixed_BTD
        attended_BTD: Tensor = self.attention(
            x_BTD, positions, cache, score_bias_HTS, rotation, borrowed, lend
        )
        return attended_BTD

    def transform(self, ffn: nn.Module, x_BTD: Tensor, inputs: MixerInputs) -> Tensor:
        """The output of the feed-forward network: [B, T, D]."""
        if isinstance(ffn, channel_mix.ChannelMix):
            cache = inputs[1].ffn if isinstance(inputs[1], StateCache) else None
            mixed_BTD: Tensor = ffn(x_BTD, inputs[0], cache)
            return mixed_BTD
        output_BTD: Tensor = ffn(x_BTD)
        return output_BTD

    def rotation(self, positions: TokenPositions) -> Rotation | None:
        """The rotation of queries and keys at these positions, if the block has attention with one."""
        return None if self.mixer_name == "recurrence" else self.attention.rotation(positions)

    @property
    def mixer_norm(self) -> nn.Module:
        """The norm of the mixer's input."""
        return self.get_submodule(f"{self.mixer_name}_norm")

    @property
    def mixer_output_norm(self) -> nn.Module:
        """The norm of the mixer's output, in sandwich and output placement."""
        return self.get_submodule(f"{self.mixer_name}_output_norm")

    def after(self, sublayer: str, x: Tensor) -> Tensor:
        """The residual stream after a sublayer: a tap, where an intervention may modify it."""
        return intervene(self.taps, f"after_{sublayer}", x)


class OutputScale(nn.Module):
    """A learned factor of a block's output: `weight` [1] (Gemma 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))


def required(memory: Memory | None) -> Memory:
    """The memory for cross-attention. Raises BadInput for None."""
    if memory is None:
        raise BadInput("this block has cross-attention; pass the encoder's keys and values as `memory`")
    return memory


def feed_forward(spec: FFN, d_model: int) -> nn.Module:
    """The layer for a feed-forward spec."""
    match spec:
        case MLP():
            return mlp.MLP(spec, d_model)
        case Gated():
            return gated.Gated(spec, d_model)
        case ChannelMix():
            return channel_mix.ChannelMix(spec, d_model)
        case _:
            return mixture.MixtureOfExperts(spec, d_model)
