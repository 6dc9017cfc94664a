"""Every rule of a blueprint, broken alone and together."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.check import check, problems
from zeropoint.blueprint.parts.attention import GroupedQueryAttention
from zeropoint.blueprint.parts.ffn import SwiGLU
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput

ROPE = Rope(base=10000.0, n_rotated=16)
ATTENTION = GroupedQueryAttention(n_heads=4, n_kv_heads=2, d_head=16, position=ROPE)
BLOCK = Block(ATTENTION, SwiGLU(96), RMSNorm(1e-5))
SOUND = Blueprint("llama", 64, 261, 256, (BLOCK, BLOCK), RMSNorm(1e-5), has_tied_head=True)


def changed(**fields: Any) -> Blueprint:
    """SOUND with some fields changed, wherever they stand."""

    def apply(part: Any) -> Any:
        own = {f.name for f in dataclasses.fields(part)}
        return dataclasses.replace(part, **{k: v for k, v in fields.items() if k in own})

    position = apply(ROPE)
    block = Block(
        dataclasses.replace(apply(ATTENTION), position=position), apply(SwiGLU(96)), apply(RMSNorm(1e-5))
    )
    blueprint = dataclasses.replace(SOUND, blocks=(block, block), final_norm=apply(RMSNorm(1e-5)))
    result: Blueprint = apply(blueprint)
    return result


CASES = [
    ({"d_model": 0}, "d_model is 0; expected 1 to 1048576"),
    ({"d_model": 2**20 + 1}, "d_model is 1048577"),
    ({"n_vocab": 1}, "n_vocab is 1; a vocabulary has at least 2 tokens"),
    ({"n_vocab": 2**24 + 1}, "n_vocab is 16777217; expected 1 to 16777216"),
    ({"n_ctx": 0}, "n_ctx is 0; expected 1 to 16777216"),
    ({"blocks": ()}, "n_layers is 0; expected 1 to 4096"),
    ({"d_head": 0, "n_rotated": 0}, "blocks[0].attention.d_head is 0; expected 1 to 4096"),
    ({"d_head": 4097}, "blocks[0].attention.d_head is 4097"),
    ({"d_ff": 0}, "blocks[0].ffn.d_ff is 0"),
    ({"d_ff": 2**22 + 1}, "blocks[0].ffn.d_ff is 4194305"),
    ({"eps": 0.0}, "norm.eps is 0.0; expected a small positive number"),
    ({"eps": -1.0}, "norm.eps is -1.0"),
    ({"eps": math.nan}, "norm.eps is nan"),
    ({"eps": math.inf}, "norm.eps is inf"),
    ({"n_heads": 0}, "attention.n_heads is 0; expected 1 to 65536"),
    ({"n_heads": 65537}, "attention.n_heads is 65537"),
    ({"n_kv_heads": 0}, "attention.n_kv_heads is 0; expected a divisor of n_heads, 4"),
    ({"n_kv_heads": 3}, "attention.n_kv_heads is 3; expected a divisor of n_heads, 4"),
    ({"n_kv_heads": 8}, "attention.n_kv_heads is 8"),
    ({"n_rotated": 18}, "position.n_rotated is 18; expected an even number up to d_head, 16"),
    ({"n_rotated": 7}, "position.n_rotated is 7"),
    ({"n_rotated": -2}, "position.n_rotated is -2"),
    ({"base": 0.0}, "position.base is 0.0; expected a positive number"),
    ({"base": math.nan}, "position.base is nan"),
    ({"base": math.inf}, "position.base is inf"),
    ({"linear_factor": 0.0}, "position.linear_factor is 0.0"),
    ({"linear_factor": math.inf}, "position.linear_factor is inf"),
    ({"frequency_factors": (1.0,) * 7}, "position.frequency_factors has 7 items; expected n_rotated / 2"),
    ({"frequency_factors": (1.0,) * 7 + (math.nan,)}, "holds a value that is not a positive number"),
    ({"frequency_factors": (1.0,) * 7 + (0.0,)}, "holds a value that is not a positive number"),
]


def test_a_sound_blueprint_passes() -> None:
    check(SOUND)
    assert list(problems(SOUND)) == []
    assert list(problems(changed(frequency_factors=(2.0,) * 8, n_kv_heads=4, n_rotated=16))) == []
    assert list(problems(changed(n_rotated=0))) == []
    assert SOUND.n_layers == 2


@pytest.mark.parametrize(("fields", "sentence"), CASES, ids=str)
def test_each_rule(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        check(changed(**fields), "model.gguf")
    assert str(caught.value).startswith("model.gguf: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once_and_like_blocks_once() -> None:
    found = list(problems(changed(d_model=0, n_kv_heads=3, base=-1.0)))
    assert len(found) == 3
    other = dataclasses.replace(BLOCK, ffn=SwiGLU(0))
    mixed = dataclasses.replace(SOUND, blocks=(BLOCK, other, other))
    assert list(problems(mixed)) == ["blocks[1].ffn.d_ff is 0; expected 1 to 4194304"]
