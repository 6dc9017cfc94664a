"""Normalization: rescale each token's vector so that its components have a common magnitude."""

from __future__ import annotations

from zeropoint.frozen import frozen

__all__ = ["LayerNorm", "Norm", "RMSNorm"]


@frozen
class RMSNorm:
    """x / sqrt(mean(x^2) + eps) * gain (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).

    Used by Llama and most models since. is_offset: the stored weight is gain - 1, so that weight decay pulls
    the gain towards 1 (Gemma). has_gain: False for a gain of 1 that is not stored (Gemma 4's values).
    """

    eps: float
    is_offset: bool = False
    has_gain: bool = True


@frozen
class LayerNorm:
    """(x - mean) / sqrt(variance + eps) * gain + bias (Ba et al., "Layer Normalization", 2016).

    Used by the original Transformer, BERT and GPT-2.
    """

    eps: float
    has_bias: bool = True


Norm = RMSNorm | LayerNorm
