"""`Blueprint`: the complete architecture of a model as data.

The torch module, the native plan, the names and shapes of tensors, and all costs derive from it. Sizes have
the same names everywhere (n_layers, d_model, ...). Blueprints are stored in files (`io.py`), hence the
version.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import FFN
from zeropoint.blueprint.parts.norm import Norm
from zeropoint.blueprint.parts.per_layer import PerLayerInput
from zeropoint.blueprint.parts.position import EmbeddingPosition, NoPosition
from zeropoint.blueprint.parts.recurrence import Recurrence
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

__all__ = ["VERSION", "Block", "Blueprint", "Embedding", "Head", "Placement"]

VERSION = 1  # of the file format; increased when older files would be misread

Placement = Literal["pre", "post", "parallel", "sandwich", "output"]


@frozen
class Block:
    """One layer: attention or a recurrence, and a feed-forward network (FFN), each added to its input.

    placement of the norms:
      "pre"       x + mix(norm(x)), then x + ffn(norm(x))   (GPT-2, Llama)
      "post"      norm(x + mix(x)), then norm(x + ffn(x))   (the original Transformer, BERT)
      "parallel"  x + mix(norm(x)) + ffn(norm(x)), one norm for both   (phi-2)
      "sandwich"  x + norm(mix(norm(x))), then x + norm(ffn(norm(x)))   (Gemma 2)
      "output"    x + norm(mix(x)), then x + norm(ffn(x))   (OLMo 2)

    attention, recurrence: what mixes the tokens; exactly one of them is set.
    cross_attention: attends to the encoder's output, between attention and FFN.
    norm, ffn: None if the block has none (attention-only models).
    residual_scale: factor of what each sublayer adds to its input (Granite).
    per_layer: a small input of the block's own for each token, read last (Gemma 4).
    has_output_scale: the block's output is multiplied by a learned number (Gemma 4).
    """

    attention: Attention | None
    ffn: FFN | None
    norm: Norm | None
    placement: Placement = "pre"
    cross_attention: Attention | None = None
    recurrence: Recurrence | None = None
    residual_scale: float = 1.0
    per_layer: PerLayerInput | None = None
    has_output_scale: bool = False

    @property
    def mixer(self) -> Literal["attention", "recurrence"]:
        """The name of the part that mixes the tokens."""
        return "attention" if self.recurrence is None else "recurrence"

    @property
    def output_tap(self) -> str:
        """The name of the tap of the residual stream after the block."""
        if self.per_layer is not None or self.has_output_scale:
            return "output"
        return f"after_{self.mixer if self.ffn is None else 'ffn'}"

    def with_attention(self, **changes: Any) -> Block:
        """The block with some fields of its attention changed; unchanged if it has none."""
        if self.attention is None:
            return self
        return replace(self, attention=replace(self.attention, **changes))


@frozen
class Embedding:
    """From token ids to the residual stream.

    scale: factor of the token vectors (sqrt(d_model) in the original Transformer and Gemma).
    n_types: number of segment types, each with a learned vector (BERT). norm: applied to the sum (BERT).
    """

    position: EmbeddingPosition = NoPosition()
    scale: float = 1.0
    n_types: int = 0
    norm: Norm | None = None


@frozen
class Head:
    """From the residual stream to logits.

    is_tied: use the embedding matrix. scale: factor of the input (d_model^-0.5 in T5).
    softcap: limits the logits to cap * tanh(logit / cap) (Gemma 2).
    has_transform: apply a linear layer, activation and norm first (BERT's masked-language-model head).
    """

    is_tied: bool = True
    has_bias: bool = False
    scale: float = 1.0
    softcap: float | None = None
    has_transform: bool = False


@frozen
class Blueprint:
    """A transformer: embedding, `blocks`, final norm, head; with `encoder` blocks, an encoder-decoder (T5).

    family: the published architecture, such as "llama". d_model: width of the residual stream. n_vocab: size
    of the vocabulary. n_ctx: context length in training. blocks: causal in a decoder, not causal in an
    encoder-only model (BERT). final_norm: None for post-norm models. encoder_norm: the encoder's final norm.
    mtp: the block of a multi-token prediction layer, which guesses the token after the next from the last
    hidden state and the next token (Qwen 3.5). Its weights are kept, and no pass runs it yet.
    """

    family: str
    d_model: int
    n_vocab: int
    n_ctx: int
    blocks: tuple[Block, ...]
    final_norm: Norm | None
    embedding: Embedding = Embedding()
    head: Head | None = Head()
    encoder: tuple[Block, ...] = ()
    encoder_norm: Norm | None = None
    mtp: Block | None = None

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """The attention of each block that has one."""
        return tuple(b.attention for b in self.blocks if b.attention is not None)

    @property
    def attention(self) -> Attention:
        """The attention of the first block that has one. Raises BadInput if none has."""
        if not self.attentions:
            raise BadInput(f"no block of this {self.family} model has attention")
        return self.attentions[0]

    @property
    def per_layer(self) -> PerLayerInput | None:
        """The per-layer input of the blocks, which all have the same or none."""
        return self.blocks[0].per_layer if self.blocks else None

    @property
    def n_layers(self) -> int:
        """Number of blocks, without the encoder's."""
        return len(self.blocks)

    @property
    def is_tied(self) -> bool:
        """Whether the head uses the embedding matrix."""
        return self.head is not None and self.head.is_tied

    @property
    def is_decoder(self) -> bool:
        """Whether this is a decoder-only model, which the native engine can run."""
        return not self.encoder and all(
            (b.attention is None or b.attention.is_causal) and b.cross_attention is None for b in self.blocks
        )
