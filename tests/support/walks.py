"""Walks: for each kind of change, a dummy variant and the files that adding it may touch.

The files are those that a contributor writes or edits; `n_tests` more are their tests (a test that iterates
over a registry covers a new entry by itself). A walk that needs more than `max_files` has found a fact
declared twice: fix that, not the number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["WALKS", "Edit", "Walk"]


@dataclass(frozen=True)
class Edit:
    """Insert `text` in front of the only occurrence of `before` in a file."""

    before: str
    text: str


@dataclass(frozen=True)
class Walk:
    """files: path -> text of a new file, or edits of an existing one. max_files: the promise, tests
    included."""

    max_files: int
    files: dict[str, str | tuple[Edit, ...]]
    n_tests: int = 0

    def write(self, root: Path) -> None:
        """Write the files, and no others, into a copy of the repository."""
        for name, content in self.files.items():
            path = root / name
            if isinstance(content, str):
                if path.exists():
                    raise FileExistsError(path)
                path.write_text(content, "utf-8")
                continue
            text = path.read_text("utf-8")
            for edit in content:
                if text.count(edit.before) != 1:
                    raise ValueError(f"{path}: `{edit.before}` occurs {text.count(edit.before)} times")
                text = text.replace(edit.before, edit.text + edit.before)
            path.write_text(text, "utf-8")


_FORMAT = '''"""Q7_9: blocks of 32 weights, a binary16 scale and a byte each, value + 128 (a dummy)."""

import numpy as np

from zeropoint.formats._blocks import inverse, join_bytes, split_bytes, split_weights

BLOCK_WEIGHTS = 32
BLOCK_BYTES = 34
FILE_TYPE = 79
BLOCK = np.dtype([("d", "<f2"), ("q", "u1", 32)])


def unpack(packed):
    blocks = split_bytes(packed, BLOCK)
    weights = (blocks["q"].astype(np.float32) - 128) * blocks["d"].astype(np.float32)[..., None]
    return weights.reshape(*packed.shape[:-1], -1)


def pack(weights):
    groups = split_weights(weights, BLOCK_WEIGHTS, "Q7_9")
    blocks = np.empty(groups.shape[:-1], BLOCK)
    blocks["d"] = np.abs(groups).max(axis=-1) / 127
    blocks["q"] = np.clip(np.rint(groups * inverse(blocks["d"].astype(np.float32))[..., None]) + 128, 0, 255)
    return join_bytes(blocks)
'''

_CODES = """// Q7_9 packed: 512 bytes, 16 half scales. Python: formats/q7_9.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ7_9, L> : ScaleOnly<L> {
    static constexpr int kMaxCode = 255, kZeroPoint = 128;
    Codec(const uint8_t* packed, int) : ScaleOnly<L>{packed, packed + 512} {}
    template <int i>
    typename L::Bytes codes() const {
        return L::load_bytes(this->codes_at + 64 * i);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_bytes(columns_of<8>(file + 2, 0), row, packed);
        put_half(file, row, packed + 512);
    }
};

}  // namespace zp::shared
"""

_SPECS = "src/zeropoint/blueprint/parts/position.py"
_POSITIONS = "src/zeropoint/layers/position"

_SCORE_BIAS_SPEC = '''@frozen
class LogBias:
    """Scores fall with the logarithm of distance (a dummy)."""

    slope: float = 1.0


'''
_SCORE_BIAS = '''"""Scores lose slope * log(1 + distance)."""

from zeropoint.layers.mask import distances


def score_bias(spec, n_heads):
    def fall(n_queries, n_keys, device):
        distance_TS = distances(n_queries, n_keys, device)
        return (-spec.slope * distance_TS.abs().float().log1p()).expand(n_heads, n_queries, n_keys)

    return fall
'''
_EMBEDDING_SPEC = '''@frozen
class Ramp:
    """Columns grow with the position, each with a slope of its own (a dummy)."""

    step: float = 0.125


'''
_EMBEDDING = '''"""step * position * column."""

import torch


def embedding(spec, d_model):
    return lambda positions_BT: spec.step * positions_BT[..., None] * torch.arange(d_model)
'''
_NATIVE_EMBEDDING = """// step * position * column (a dummy).
#include "ops/position/encoding.hpp"

namespace zp {

static void add(std::span<const float> options, int position, int d_model, float* row) {
    for (int column = 0; column < d_model; ++column) row[column] += options[0] * position * column;
}

extern const PositionEncoding kEncoding_ramp;
const PositionEncoding kEncoding_ramp{"ramp", add, nullptr};

}  // namespace zp
"""
_ROTARY_SPEC = '''@frozen
class EverySecond:
    """Heads of odd positions are turned round (a dummy)."""


'''
_ROTARY = '''"""x at even positions, -x at odd ones."""


def rotary(spec):
    def rotation(positions_BT, n_positions):
        sign_B1T1 = (1 - 2 * (positions_BT % 2))[:, None, :, None]
        return lambda x_BHTK: x_BHTK * sign_B1T1

    return rotation
'''

_FAMILY = '''"""A dummy that is Llama under a name of its own."""

from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."


def from_hf(config):
    return llama_like_from_hf(HfConfig(config), "dummy")


def to_hf(blueprint):
    return llama_like_to_hf(blueprint, "dummy", "DummyForCausalLM")


def from_gguf(model):
    return llama_like_from_gguf(model, "dummy", is_interleaved=True)


def to_gguf(blueprint):
    metadata = llama_like_to_gguf(blueprint, "dummy")
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint, kind):
    names = rename_tensors(blueprint, GGUF if kind == "gguf" else HF_LLAMA)
    return permute_rotary(names, blueprint, is_interleaved=kind == "gguf")
'''

_STEP = '''"""Ceiling: no logit is above it (a dummy)."""

from typing import ClassVar

from zeropoint.frozen import frozen
from zeropoint.options import option
from zeropoint.sampling.step import Step


@frozen
class Ceiling(Step):
    order: ClassVar[int] = 75
    ceiling: float = option(100.0, 0, 100, "Logits above this become this; 100 is off.")

    def is_identity(self):
        return self.ceiling == 100

    def __call__(self, logits_V, history, n_prompt=0, seed=0):
        return logits_V.clip(max=self.ceiling)
'''

_COMMAND = '''"""Wave at whoever asks."""

import click

GROUP = "Use"


@click.command("wave")
@click.option("--hands", type=int, default=2, help="How many hands.")
def command(hands):
    """Wave at whoever asks."""
    click.echo("wave " * hands)
'''

# Two of the positional encodings run in torch only, which takes two files.
WALKS = {
    "number format": Walk(
        3,
        {
            "src/zeropoint/formats/q7_9.py": _FORMAT,
            "native/kernels/codes/q7_9.hpp": _CODES,
            "native/formats/formats.def": (
                Edit("ZP_FORMAT(kBF16,", 'ZP_FORMAT(kQ7_9, "Q7_9", 79, 32, 34)\n'),
            ),
        },
    ),
    "score bias": Walk(
        2,
        {
            _SPECS: (
                Edit("EmbeddingPosition = ", _SCORE_BIAS_SPEC),
                Edit("RotaryPosition | Alibi", "LogBias | "),
            ),
            f"{_POSITIONS}/log_bias.py": _SCORE_BIAS,
        },
    ),
    "position embedding, native too": Walk(
        4,
        {
            _SPECS: (Edit("EmbeddingPosition = ", _EMBEDDING_SPEC), Edit("Learned | Sinusoidal", "Ramp | ")),
            f"{_POSITIONS}/ramp.py": _EMBEDDING,
            "native/ops/position/ramp.cpp": _NATIVE_EMBEDDING,
        },
        n_tests=1,
    ),
    "rotary encoding": Walk(
        2,
        {
            _SPECS: (
                Edit("EmbeddingPosition = ", _ROTARY_SPEC),
                Edit("Rope  # the", "EverySecond | "),
            ),
            f"{_POSITIONS}/every_second.py": _ROTARY,
        },
    ),
    "family": Walk(2, {"src/zeropoint/families/dummy.py": _FAMILY}, n_tests=1),
    "sampling step": Walk(2, {"src/zeropoint/sampling/steps/ceiling.py": _STEP}, n_tests=1),
    "command": Walk(2, {"src/zeropoint/cli/commands/wave.py": _COMMAND}, n_tests=1),
}
