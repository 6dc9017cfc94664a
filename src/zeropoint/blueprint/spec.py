"""`Blueprint`: one declarative description of a model. Sizes carry the names used everywhere else.

From it come the torch module, the native plan, tensor names and shapes, and every cost. It is versioned,
because it is written to files (`io.py`).
"""

from __future__ import annotations

from typing import Literal

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import FFN
from zeropoint.blueprint.parts.norm import Norm
from zeropoint.blueprint.parts.position import EmbeddingPosition, NoPosition
from zeropoint.frozen import frozen

__all__ = ["VERSION", "Block", "Blueprint", "Embedding", "Head", "Placement"]

VERSION = 1  # of the written form; raised when a file of today would be misread

Placement = Literal["pre", "post", "parallel", "sandwich"]


@frozen
class Block:
    """One layer.

    placement of norms: "pre", before each part (GPT-2, Llama); "post", after each addition (the 2017
    Transformer, BERT); "parallel", one norm whose output attention and feed-forward both read (phi-2);
    "sandwich", before each part and again before it is added (Gemma 2).
    cross_attention: over an encoder's output, between attention and feed-forward.
    norm, ffn: None where the block has none (the transformer made by hand is attention alone).
    """

    attention: Attention
    ffn: FFN | None
    norm: Norm | None
    placement: Placement = "pre"
    cross_attention: Attention | None = None


@frozen
class Embedding:
    """From ids to the residual stream.

    scale: what the vectors are multiplied with (sqrt(d_model) in the 2017 Transformer and Gemma).
    n_types: segments with a vector of their own (BERT). norm: applied to the sum (BERT).
    """

    position: EmbeddingPosition = NoPosition()
    scale: float = 1.0
    n_types: int = 0
    norm: Norm | None = None


@frozen
class Head:
    """From the residual stream to logits.

    is_tied: its matrix is the embedding. scale: of what it reads (d_model^-0.5 in T5).
    softcap: logits pass cap * tanh(logit / cap) (Gemma 2). has_transform: a dense layer, activation and norm
    come before it (BERT's masked-word head).
    """

    is_tied: bool = True
    has_bias: bool = False
    scale: float = 1.0
    softcap: float | None = None
    has_transform: bool = False


@frozen
class Blueprint:
    """A model: embedding, `blocks`, final norm, head; and an encoder before it where `encoder` has blocks.

    family: the published family it belongs to. d_model: width of the residual stream; n_vocab: tokens;
    n_ctx: positions it was trained for. A decoder's blocks are causal; an encoder alone has blocks that are
    not (BERT). final_norm: None for post-norm models. encoder_norm: the encoder's final norm.
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

    @property
    def n_layers(self) -> int:
        """Number of blocks after the encoder."""
        return len(self.blocks)

    @property
    def is_tied(self) -> bool:
        """True where the head's matrix is the embedding."""
        return self.head is not None and self.head.is_tied

    @property
    def is_decoder(self) -> bool:
        """True for a decoder alone: what the native engine runs."""
        return not self.encoder and all(
            b.attention.is_causal and b.cross_attention is None for b in self.blocks
        )
