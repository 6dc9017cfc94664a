"""Every format unpacks and packs bit for bit as the `gguf` package does, or llama.cpp where `gguf` lacks it.

For formats that neither packs by a simple rule, our search must beat plain rounding with an exact scale.
"""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf import quants

from tests.support.packed import packed_matrix
from zeropoint import formats
from zeropoint.errors import BadInput

NAMES = formats.names()
WRITABLE = formats.writable()
READ_ONLY = sorted({*NAMES} - {*WRITABLE})
PACKED = [name for name in NAMES if formats.get(name).BLOCK_WEIGHTS > 1]


def reference(name: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType[name]


def dequantize(packed: np.ndarray, name: str) -> np.ndarray:
    """Weights as the `gguf` package unpacks them; written out here for the formats that it lacks."""
    if name not in ("Q1_0", "Q2_0"):
        return quants.dequantize(packed.copy(), reference(name))
    blocks = packed.reshape(*packed.shape[:-1], -1, 18)
    d = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
    bits = np.unpackbits(blocks[..., 2:], axis=-1, bitorder="little").astype(np.float32)
    levels = 2 * bits - 1 if name == "Q1_0" else bits[..., 0::2] + 2 * bits[..., 1::2] - 1
    return (d * levels).reshape(*packed.shape[:-1], -1)


def packs(name: str) -> bool:
    """Whether the `gguf` package can pack this format."""
    try:
        quants.quantize(np.zeros((1, 256), np.float32), reference(name))
    except (NotImplementedError, KeyError):
        return False
    return True


# Blocks that llama.cpp 0.3.36 (ggml 0.25) packs from `sample`, for formats that `gguf` cannot pack.
PACKED_BY_LLAMA_CPP: dict[str, str] = {
    "NVFP4": "1b22282a3fd25eb57c06e94f6d96fa37e25ec57de04fd46d96fb27e1b57c17e04fd46ea62d303132"
    "3fe25eb57c06e94f6d96fa37e15ec57ce05fd46da6fb27e1b57c17e04fd46ea6",
    "Q1_0": "783c2ab55aa9d54aa5562ab55aa9d54aa5563c422ab55aa9d54aa5562ab55aa9d54aa556",
    "Q2_0": "403f55555555955545555166941166841961404354195546995146941166941166841961",
}


def sample(n: int) -> np.ndarray:
    """Weights with both signs, exact halves of the largest, and zeros."""
    i = np.arange(n)
    return ((i * 37 % 64 - 32) * (1 + i // 16) / 64).astype(np.float32)


SEARCHED = [name for name in WRITABLE if not packs(name) and name not in PACKED_BY_LLAMA_CPP]


def row(name: str, n_blocks: int) -> int:
    """Weights in a row of n_blocks blocks; formats without blocks count 32 weights as one."""
    return n_blocks * max(32, formats.get(name).BLOCK_WEIGHTS)


def weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of very different magnitudes, among them rows of zeros, of a constant and of integers."""
    w = (rng.standard_normal(shape) * 10.0 ** rng.uniform(-6, 4, (*shape[:-1], 1))).astype(np.float32)
    w[0] = 0
    w[1] = -3.25
    w[2] = rng.integers(-9, 9, shape[1:])
    w[3, ..., ::2] = np.abs(w[3, ..., ::2]) * -1
    return w


def test_modules_of_the_folder_are_the_formats():
    assert set(NAMES) >= {
        *("BF16", "F16", "F32", "IQ4_NL", "Q2_K", "Q3_K", "Q4_0", "Q4_1", "Q4_K"),
        *("Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0"),
        *("IQ4_XS", "MXFP4", "NVFP4", "Q1_0", "Q2_0", "TQ1_0", "TQ2_0"),
        *("IQ1_M", "IQ1_S", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_S", "IQ3_XXS"),
    }
    assert formats.get("q4_1") is formats.get("Q4_1")
    with pytest.raises(BadInput, match=r"unknown weight format `Q4_2`; expected one of BF16, .*closest: Q4_"):
        formats.get("Q4_2")


@pytest.mark.parametrize("name", NAMES)
def test_block_sizes_match_the_specification(name: str):
    form = formats.get(name)
    want = (64, 18) if name == "Q2_0" else gguf.GGML_QUANT_SIZES[reference(name)]
    assert want == (form.BLOCK_WEIGHTS, form.BLOCK_BYTES)


@pytest.mark.parametrize("name", NAMES)
def test_file_types_match_the_specification(name: str):
    named = (f"MOSTLY_{name}", f"MOSTLY_{name}_M", f"ALL_{name}", f"MOSTLY_{name}_MOE")
    known = [gguf.LlamaFileType[file] for file in named if file in gguf.LlamaFileType.__members__]
    assert formats.get(name).FILE_TYPE in (known or [41])  # LLAMA_FTYPE_MOSTLY_Q2_0, which `gguf` lacks


def test_block_sizes_match_the_native_list():
    native = pytest.importorskip("zeropoint._native").formats()
    assert sorted(name for name, *_ in native) == NAMES
    for name, gguf_id, n_weights, n_bytes in native:
        assert gguf_id == (42 if name == "Q2_0" else reference(name))
        assert (n_weights, n_bytes) == (formats.get(name).BLOCK_WEIGHTS, formats.get(name).BLOCK_BYTES)


@pytest.mark.parametrize("name", [name for name in WRITABLE if packs(name)])
@pytest.mark.parametrize("shape", [(64, 32), (7, 256), (5, 3, 64)])
def test_pack_is_bit_equal(name: str, shape: tuple[int, ...]):
    shape = (*shape[:-1], max(shape[-1], formats.get(name).BLOCK_WEIGHTS))
    w = weights(np.random.default_rng(1), shape)
    want = quants.quantize(w.copy(), reference(name)).view(np.uint8)
    got = formats.get(name).pack(w)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", READ_ONLY)
def test_formats_that_are_read_only_name_another(name: str):
    with pytest.raises(BadInput, match=f"reads {name} but does not write it.*; use Q._K, which is about as"):
        formats.check_writable(name.lower())
    assert not hasattr(formats.get(name), "pack")
    instead = formats.get(formats.get(name).INSTEAD)
    assert pytest.approx(formats.get(name).BLOCK_BYTES, rel=0.7) == instead.BLOCK_BYTES


def test_nvfp4_refuses_weights_beyond_its_range():
    form = formats.get("NVFP4")
    assert form.unpack(form.pack(np.full((1, 64), 2688, np.float32))).max() == 2688
    with pytest.raises(BadInput, match="weights exceed 2688, the largest NVFP4 value; use MXFP4 or BF16"):
        form.pack(np.full((1, 64), -2689, np.float32))


@pytest.mark.parametrize("name", PACKED_BY_LLAMA_CPP)
def test_pack_equals_llama_cpp(name: str):
    form = formats.get(name)
    packed = form.pack(sample(2 * form.BLOCK_WEIGHTS))
    assert packed.tobytes().hex() == PACKED_BY_LLAMA_CPP[name]


@pytest.mark.parametrize("name", NAMES)
def test_unpack_is_bit_equal(name: str):
    shape = (9, 4, row(name, 3))
    if name in READ_ONLY:
        packed = packed_matrix(name, 36, shape[-1], seed=2).reshape(9, 4, -1)
    else:
        packed = formats.get(name).pack(weights(np.random.default_rng(2), shape).clip(-2688, 2688))
    want = dequantize(packed, name)
    got = formats.get(name).unpack(packed)
    assert got.dtype == np.float32
    assert got.shape == shape
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_unpack_accepts_any_bytes(name: str):
    """Scales that are NaN, infinite or denormal are loaded as such."""
    form = formats.get(name)
    packed = np.random.default_rng(3).integers(0, 256, (50, 12 * form.BLOCK_BYTES)).astype(np.uint8)
    want = dequantize(packed, name)
    np.testing.assert_array_equal(form.unpack(packed), want)


@pytest.mark.parametrize("name", NAMES)
def test_unpack_accepts_strided_bytes(name: str):
    form = formats.get(name)
    packed = packed_matrix(name, 8, row(name, 2), seed=4)
    np.testing.assert_array_equal(form.unpack(packed[::2]), form.unpack(packed)[::2])


@pytest.mark.parametrize("name", ["F16", "BF16"])
def test_halves_round_to_even_and_preserve_infinity(name: str):
    form = formats.get(name)
    w = np.array([np.inf, -np.inf, 3.4e38, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 1 + 3 * 2**-11], np.float32)
    with np.errstate(over="ignore"):
        want = quants.quantize(w[None].copy(), reference(name)).view(np.uint8)[0]
    np.testing.assert_array_equal(form.pack(w), want)
    assert np.isinf(form.unpack(form.pack(w))[:3]).all()
    assert np.isnan(form.unpack(form.pack(np.array([np.nan], np.float32)))).all()


@pytest.mark.parametrize("name", [name for name in PACKED if name in WRITABLE])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pack_rejects_nan_and_infinity(name: str, bad: float):
    w = np.ones((2, row(name, 2)), np.float32)
    w[1, 40] = bad
    with pytest.raises(BadInput, match=f"weights contain NaN or infinity, which {name} cannot represent"):
        formats.get(name).pack(w)


@pytest.mark.parametrize("name", PACKED)
def test_rows_must_be_multiples_of_blocks(name: str):
    form = formats.get(name)
    if name in WRITABLE:
        with pytest.raises(BadInput, match=f"a row of {name} must be a multiple of {form.BLOCK_WEIGHTS}"):
            form.pack(np.ones((2, form.BLOCK_WEIGHTS + 1), np.float32))
    with pytest.raises(BadInput, match=f"a multiple of {form.BLOCK_BYTES} bytes"):
        form.unpack(np.ones((2, form.BLOCK_BYTES + 1), np.uint8))
    with pytest.raises(BadInput, match="must be uint8"):
        form.unpack(np.ones((2, form.BLOCK_BYTES), np.float32))


# Weights per scale, the largest code, and whether there is a minimum.
PLAIN = {
    "Q2_K": (16, 3, True),
    "Q3_K": (16, 7, False),
    "Q4_K": (32, 15, True),
    "Q5_K": (32, 31, True),
    "Q6_K": (16, 63, False),
    "IQ4_NL": (32, 15, False),
    "IQ4_XS": (32, 15, False),
}


def plain(name: str, x: np.ndarray) -> np.ndarray:
    """x rounded with the scale (and minimum) that just span each block, in full precision."""
    width, top, has_minimum = PLAIN[name]
    blocks = x.reshape(-1, width)
    if has_minimum:
        low = np.minimum(blocks.min(axis=-1, keepdims=True), 0)
        scale = (blocks.max(axis=-1, keepdims=True) - low) / top
        return (np.rint((blocks - low) / scale) * scale + low).reshape(x.shape)
    scale = np.abs(blocks).max(axis=-1, keepdims=True) / (top // 2)
    return (np.rint(blocks / scale) * scale).reshape(x.shape)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "one-sided"])
def test_search_beats_plain_rounding(name: str, kind: str):
    rng = np.random.default_rng(6)
    x = {
        "normal": rng.standard_normal((32, 512)),
        "heavy-tailed": rng.standard_t(4, (32, 512)),
        "one-sided": rng.standard_exponential((32, 512)),
    }[kind].astype(np.float32)
    form = formats.get(name)
    ours = np.square(dequantize(form.pack(x), name) - x).mean()
    assert ours < 0.97 * np.square(plain(name, x) - x).mean()


@pytest.mark.parametrize("name", SEARCHED)
def test_search_is_exact_for_representable_blocks(name: str):
    form = formats.get(name)
    x = np.zeros((4, 512), np.float32)
    x[1] = 1.5
    x[2, ::7] = -3.0
    x[3, 5] = 0.25
    # IQ4_NL has no zero level: its smallest is 1 / 127 of the largest.
    assert (np.abs(form.unpack(form.pack(x)) - x) <= 0.01 * np.abs(x).max(axis=-1, keepdims=True)).all()


@pytest.mark.parametrize("name", SEARCHED)
def test_search_survives_numbers_of_any_size(name: str):
    """Scales beyond the range of binary16 become infinite or zero, as in other formats, without warnings."""
    x = np.random.default_rng(7).standard_normal((8, 512)).astype(np.float32)
    x *= np.float32(10.0) ** np.array([-45, -38, -20, -8, 8, 20, 30, 37], np.float32)[:, None]
    form = formats.get(name)
    assert form.pack(x).shape == (8, 512 // form.BLOCK_WEIGHTS * form.BLOCK_BYTES)
