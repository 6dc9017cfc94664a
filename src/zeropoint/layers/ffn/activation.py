"""Activation functions: the nonlinearity between two matrices, without which they would equal one matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from zeropoint.blueprint.parts.ffn import Activation

__all__ = ["ACTIVATIONS"]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,  # max(0, x)
    "gelu": F.gelu,  # x P(N(0, 1) < x), through the error function (Hendrycks and Gimpel, 2016)
    "gelu_tanh": partial(F.gelu, approximate="tanh"),  # its tanh approximation (same paper, section 2); GPT-2
    "gelu_sigmoid": lambda x: (
        x * torch.sigmoid(1.702 * x)
    ),  # its sigmoid approximation (same section); gpt-oss
    "silu": F.silu,  # x sigmoid(x), also called swish
}
