"""One block: tokens look at each other, then each thinks by itself; both add to the residual stream.

Where the norms stand (`placement`), with f either part:
    pre       x + f(norm(x))          GPT-2, Llama: the stream itself is never normed (Xiong et al., 2020)
    post      norm(x + f(x))          the 2017 Transformer, BERT
    sandwich  x + norm(f(norm(x)))    Gemma 2
    parallel  x + attention(n) + ffn(n), n = norm(x)    phi-2: both read the same
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from zeropoint.blueprint.parts.ffn import FFN, MLP, Gated
from zeropoint.blueprint.spec import Block as Spec
from zeropoint.layers.attention.cross_attention import CrossAttention
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.cache import KeysValues, LayerCache
from zeropoint.layers.ffn import gated, mixture, mlp
from zeropoint.layers.norm import norm
from zeropoint.layers.place import Place
from zeropoint.layers.see import See, show, under

__all__ = ["Block", "Memory"]

# Keys and values of a source for one block, and which of its positions are tokens (None: all).
Memory = tuple[KeysValues, Tensor | None]


class Block(nn.Module):
    """Self-attention, cross-attention if the spec has it, and feed-forward, with their norms."""

    def __init__(self, spec: Spec, d_model: int, dropout: float = 0.0) -> None:
        """dropout: of what each part adds, while training (Vaswani et al., 2017, section 5.4)."""
        super().__init__()
        self.placement = spec.placement
        self.dropout = nn.Dropout(dropout)
        self.attention_norm = norm(spec.norm, d_model)
        self.attention = SelfAttention(spec.attention, d_model)
        self.cross_attention: CrossAttention | None = None
        if spec.cross_attention is not None:
            self.cross_attention_norm = norm(spec.norm, d_model)
            self.cross_attention = CrossAttention(spec.cross_attention, d_model)
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
        """The residual stream after the block: [B, T, D]."""

        def attention(x: Tensor) -> Tensor:
            gathered: Tensor = self.attention(x, place, cache, bias_HTS, under(see, "attention"))
            return gathered

        def cross_attention(x: Tensor) -> Tensor:
            assert self.cross_attention is not None
            assert memory is not None
            gathered: Tensor = self.cross_attention(x, *memory, under(see, "cross_attention"))
            return gathered

        def ffn(x: Tensor) -> Tensor:
            assert self.ffn is not None
            thought: Tensor = self.ffn(x, under(see, "ffn"))
            return thought

        if self.placement == "parallel":
            read = show(see, "attention_norm", self.attention_norm(x_BTD))
            x_BTD = x_BTD + self.dropout(attention(read)) + self.dropout(ffn(read))
            return show(see, "after_ffn", x_BTD)
        x_BTD = self.add("attention", attention, x_BTD, see)
        if self.cross_attention is not None:
            x_BTD = self.add("cross_attention", cross_attention, x_BTD, see)
        return x_BTD if self.ffn is None else self.add("ffn", ffn, x_BTD, see)

    def add(self, name: str, part: Callable[[Tensor], Tensor], x_BTD: Tensor, see: See | None) -> Tensor:
        """x with what `part` makes of it, and norms where the placement has them."""

        def normed(norm_name: str, x: Tensor) -> Tensor:
            layer = getattr(self, norm_name)
            return x if isinstance(layer, nn.Identity) else show(see, norm_name, layer(x))

        match self.placement:
            case "post":
                x_BTD = normed(f"{name}_norm", x_BTD + self.dropout(part(x_BTD)))
            case "sandwich":
                added = normed(f"{name}_output_norm", part(normed(f"{name}_norm", x_BTD)))
                x_BTD = x_BTD + self.dropout(added)
            case _:
                x_BTD = x_BTD + self.dropout(part(normed(f"{name}_norm", x_BTD)))
        return show(see, f"after_{name}", x_BTD)


def feed_forward(spec: FFN, d_model: int) -> nn.Module:
    """The layer of a feed-forward spec."""
    match spec:
        case MLP():
            return mlp.MLP(spec, d_model)
        case Gated():
            return gated.Gated(spec, d_model)
        case _:
            return mixture.MixtureOfExperts(spec, d_model)
