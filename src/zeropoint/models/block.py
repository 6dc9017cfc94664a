"""One block: tokens look at each other, then each thinks by itself; both add to the residual stream.

Where the norms stand (`placement`), with f either part:
    pre       x + f(norm(x))          GPT-2, Llama: the stream itself is never normed (Xiong et al., 2020)
    post      norm(x + f(x))          the 2017 Transformer, BERT
    sandwich  x + norm(f(norm(x)))    Gemma 2
    parallel  x + attention(n) + ffn(n), n = norm(x)    phi-2: both read the same
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from zeropoint.blueprint.parts.ffn import FFN, MLP, Gated
from zeropoint.blueprint.spec import Block as Spec
from zeropoint.errors import BadInput
from zeropoint.layers.attention.cross_attention import CrossAttention
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.cache import KeysValues, LayerCache
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.ffn import gated, mixture, mlp
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import See, show, under
from zeropoint.layers.token_positions import Place

__all__ = ["Block", "Memory"]

# Keys and values of a source for one block, and which of its positions are tokens (None: all).
Memory = tuple[KeysValues, Tensor | None]


class Block(nn.Module):
    """Self-attention, cross-attention if the spec has it, and feed-forward, with their norms."""

    def __init__(
        self, spec: Spec, d_model: int, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        """While training: dropout of what each part adds (Vaswani et al., 2017, section 5.4), and
        attention_dropout of attention's weights (their code, and GPT-2).
        """
        super().__init__()
        self.placement = spec.placement
        self.dropout = Dropout(dropout)
        self.attention_norm = norm(spec.norm, d_model)
        self.attention = SelfAttention(spec.attention, d_model, attention_dropout)
        self.cross_attention: CrossAttention | None = None
        if spec.cross_attention is not None:
            self.cross_attention_norm = norm(spec.norm, d_model)
            self.cross_attention = CrossAttention(spec.cross_attention, d_model, attention_dropout)
        if spec.placement == "sandwich":
            self.attention_output_norm = norm(spec.norm, d_model)
        self.ffn: nn.Module | None = None
        if spec.ffn is not None:
            self.ffn = feed_forward(spec.ffn, d_model)
            if spec.placement != "parallel":
                self.ffn_norm = norm(spec.norm, d_model)
            if spec.placement == "sandwich":
                self.ffn_output_norm = norm(spec.norm, d_model)

    def forward(
        self,
        x_BTD: Tensor,
        place: Place,
        cache: LayerCache | None = None,
        bias_HTS: Tensor | None = None,
        memory: Memory | None = None,
        see: See | None = None,
    ) -> Tensor:
        """The residual stream after the block: [B, T, D].

        memory: what cross-attention reads; BadInput where the block has that and there is none.
        """
        attention = partial(
            self.attention, place=place, cache=cache, bias_HTS=bias_HTS, see=under(see, "attention")
        )
        ffn = None if self.ffn is None else partial(self.ffn, see=under(see, "ffn"))
        if self.placement == "parallel":
            read = self.normed("attention_norm", x_BTD, see)
            x_BTD = x_BTD + self.dropout(attention(read))
            x_BTD = x_BTD if ffn is None else x_BTD + self.dropout(ffn(read))
            return show(see, "after_ffn", x_BTD)
        x_BTD = self.add("attention", attention, x_BTD, see)
        if self.cross_attention is not None:
            if memory is None:
                raise BadInput("a block with cross-attention reads a source; give it one")
            looker = under(see, "cross_attention")
            crossing = partial(self.cross_attention, memory=memory[0], is_token_BS=memory[1], see=looker)
            x_BTD = self.add("cross_attention", crossing, x_BTD, see)
        return x_BTD if ffn is None else self.add("ffn", ffn, x_BTD, see)

    def add(self, name: str, part: Callable[[Tensor], Tensor], x_BTD: Tensor, see: See | None) -> Tensor:
        """x with what `part` makes of it, and norms where the placement has them."""
        match self.placement:
            case "post":
                x_BTD = self.normed(f"{name}_norm", x_BTD + self.dropout(part(x_BTD)), see)
            case "sandwich":
                made = part(self.normed(f"{name}_norm", x_BTD, see))
                x_BTD = x_BTD + self.dropout(self.normed(f"{name}_output_norm", made, see))
            case _:
                x_BTD = x_BTD + self.dropout(part(self.normed(f"{name}_norm", x_BTD, see)))
        return show(see, f"after_{name}", x_BTD)

    def normed(self, name: str, x_BTD: Tensor, see: See | None) -> Tensor:
        """x through the norm of that name; as it is where the spec has none."""
        layer = self.get_submodule(name)
        return x_BTD if isinstance(layer, nn.Identity) else show(see, name, layer(x_BTD))


def feed_forward(spec: FFN, d_model: int) -> nn.Module:
    """The layer of a feed-forward spec."""
    match spec:
        case MLP():
            return mlp.MLP(spec, d_model)
        case Gated():
            return gated.Gated(spec, d_model)
        case _:
            return mixture.MixtureOfExperts(spec, d_model)
