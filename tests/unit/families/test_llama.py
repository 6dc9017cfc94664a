"""From GGUF metadata to a blueprint: the effect of each key, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFValueType as Type

from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import families, registry
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.parts.position import LinearScaling
from zeropoint.blueprint.sources import stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadModelFile
from zeropoint.families import llama
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import gguf_blueprint


def opened(path: Path, tiny: Tiny | None = None, **options: Any) -> GgufModel:
    write_tiny_model(path / "model.gguf", tiny, **options)
    return open_gguf(path / "model.gguf")


def test_sizes_come_from_the_metadata(tmp_path: Path) -> None:
    tiny = Tiny(n_layers=3, n_heads=6, n_kv_heads=3, d_head=8, d_ff=160, rope_base=500.0, n_ctx=77)
    blueprint = gguf_blueprint(opened(tmp_path, tiny))
    assert blueprint.family == "llama"
    assert (blueprint.n_layers, blueprint.d_model, blueprint.n_ctx, blueprint.n_vocab) == (3, 64, 77, 261)
    block = blueprint.blocks[2]
    attention, rope = block.attention, block.attention.position
    assert (attention.n_heads, attention.n_kv_heads, attention.d_head) == (6, 3, 8)
    assert (rope.base, rope.n_rotated, rope.is_interleaved, rope.scaling) == (500.0, 8, True, None)
    assert block.ffn.d_ff == 160
    assert block.norm.eps == pytest.approx(1e-5)
    assert blueprint.final_norm == block.norm


def test_the_head_is_tied_if_the_file_has_none(tmp_path: Path) -> None:
    assert gguf_blueprint(opened(tmp_path)).is_tied
    assert not gguf_blueprint(opened(tmp_path, Tiny(is_tied=False))).is_tied


def test_tensors_of_file_and_blueprint_correspond_one_to_one(tmp_path: Path) -> None:
    for is_tied in (True, False):
        file = opened(tmp_path, Tiny(is_tied=is_tied))
        blueprint = gguf_blueprint(file)
        sources = llama.tensor_map(blueprint, "gguf")
        names = {ours: stored_names(source)[0] for ours, source in sources.items()}
        assert names.keys() == parameters(blueprint).keys()
        assert set(names.values()) == set(file.tensors)
        for ours, shape in parameters(blueprint).items():
            assert file.tensors[names[ours]].shape == shape
        assert count_parameters(blueprint) == sum(int(np.prod(t.shape)) for t in file.tensors.values())


def test_rope_scaling_is_read(tmp_path: Path) -> None:
    extra = {
        "llama.rope.scaling.type": ("linear", Type.STRING),
        "llama.rope.scaling.factor": (4.0, Type.FLOAT32),
    }
    attention = gguf_blueprint(opened(tmp_path, extra=extra)).blocks[0].attention
    assert attention.position.scaling == LinearScaling(4.0)
    factors = np.linspace(1, 8, 8, dtype=np.float32)
    file = opened(tmp_path, weights={"rope_freqs.weight": factors})
    assert gguf_blueprint(file).blocks[0].attention.position.frequency_factors == tuple(map(float, factors))


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"llama.rope.scaling.type": ("spiral", Type.STRING)}, "`llama.rope.scaling.type` is 'spiral'"),
        ({"llama.rope.scaling.type": ("linear", Type.STRING)}, "position.scaling.factor is 0.0; expected 1"),
        ({"llama.expert_count": (8, Type.UINT32)}, "`llama.expert_used_count` is missing"),
        ({"llama.vocab_size": (99, Type.UINT32)}, "`llama.vocab_size` is 99; the embedding has 261 rows"),
        ({"llama.block_count": (0, Type.UINT32)}, "`llama.block_count` is 0"),
        ({"llama.attention.head_count": (0, Type.UINT32)}, "`llama.attention.head_count` is 0"),
        (
            {"llama.attention.head_count_kv": (3, Type.UINT32)},
            "n_kv_heads is 3; expected a divisor of n_heads, 4",
        ),
        ({"llama.rope.dimension_count": (18, Type.UINT32)}, "`llama.rope.dimension_count` is 18"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_unsupported_values_are_rejected_by_key(extra: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(BadModelFile) as caught:
        gguf_blueprint(opened(tmp_path, extra=extra))
    assert words in str(caught.value)
    assert "model.gguf" in str(caught.value)


def test_unknown_architectures_are_rejected_with_a_list(tmp_path: Path) -> None:
    extra = {"general.architecture": ("lama", Type.STRING)}
    with pytest.raises(
        BadModelFile,
        match=r"of the architecture `lama`, which zeropoint cannot run yet; it runs bert, .*llama",
    ):
        gguf_blueprint(opened(tmp_path, extra=extra))


def test_every_family_module_has_the_required_functions() -> None:
    for name in registry.names(families.__name__):
        family = registry.load(families.__name__, name)
        kinds = [kind for kind in ("hf", "gguf") if hasattr(family, f"from_{kind}")]
        assert all(hasattr(family, f"to_{kind}") for kind in kinds)
        assert hasattr(family, "tensor_map") == bool(kinds)


def test_smollm2_is_read(smollm2_path: Path) -> None:
    blueprint = gguf_blueprint(open_gguf(smollm2_path))
    assert count_parameters(blueprint) == 134_515_008
    assert (blueprint.n_layers, blueprint.d_model, blueprint.n_ctx) == (30, 576, 8192)
    assert blueprint.is_tied
