"""Select one model among the files of a repository."""

from __future__ import annotations

import pytest

from zeropoint.catalogue.file_selection import ListedFile, format_of, is_supported, select_files
from zeropoint.errors import BadInput


@pytest.mark.parametrize(
    ("file", "format"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("qwen3-0.6b-q4_k_m.gguf", "Q4_K_M"),
        ("m-UD-Q4_K_XL.gguf", "Q4_K_XL"),
        ("m-IQ2_XXS.gguf", "IQ2_XXS"),
        ("m-iq4_nl.gguf", "IQ4_NL"),
        ("m.bf16.gguf", "BF16"),
        ("m-fp16.gguf", "F16"),
        ("m-f32.gguf", "F32"),
        ("m-MXFP4.gguf", "MXFP4"),
        ("m-NVFP4.gguf", "NVFP4"),
        ("m-Q1_0.gguf", "Q1_0"),
        ("Q8_0/m.gguf", "Q8_0"),
        ("m-Q8_0-00001-of-00002.gguf", "Q8_0"),
        ("q4of7.gguf", None),
        ("model.gguf", None),
    ],
)
def test_format_of_a_file_name(file: str, format: str | None) -> None:
    assert format_of(file) == format


def test_supported_formats_are_those_in_the_formats_package() -> None:
    assert all(is_supported(tag) for tag in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"))
    assert all(
        is_supported(tag) for tag in ("MXFP4", "IQ4_XS", "IQ3_M", "IQ3_XS", "IQ2_M", "IQ2_XXS", "IQ1_S")
    )
    assert not any(is_supported(tag) for tag in ("IQ3_Q", "Q9_9", "", None))


def test_the_smallest_file_of_four_bits_is_the_default() -> None:
    sizes = {"TQ1_0": 20, "Q2_K": 50, "IQ4_XS": 70, "Q8_0": 200}
    files = [ListedFile(f"m.{form}.gguf", size) for form, size in sizes.items()]
    assert select_files(files, "r").files[0].file == "m.IQ4_XS.gguf"
    assert select_files(files[:2], "r").files[0].file == "m.TQ1_0.gguf"


FILES = [
    ListedFile("README.md", 10),
    ListedFile("m.Q2_K.gguf", 50),
    ListedFile("m.Q4_K_M.gguf", 90),
    ListedFile("m.Q4_1.gguf", 100),
    ListedFile("m.Q4_0.gguf", 80),
    ListedFile("m.Q8_0.gguf", 200),
    ListedFile("m.IQ4_XS.gguf", 70),
    ListedFile("mmproj-m-f16.gguf", 5),
]


@pytest.mark.parametrize(
    ("quant", "file"),
    [("q8", "m.Q8_0.gguf"), ("Q4_1", "m.Q4_1.gguf"), ("q4_k", "m.Q4_K_M.gguf"), ("iq4", "m.IQ4_XS.gguf")],
)
def test_a_quantization_can_be_abbreviated(quant: str, file: str) -> None:
    assert select_files(FILES, "r", quant=quant).files[0].file == file


def test_supported_formats_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    supported = ["q4_0", "q4_1", "q8_0"]
    monkeypatch.setattr("zeropoint.registry.names", lambda _: supported)
    assert select_files(FILES, "r").files[0].file == "m.Q4_0.gguf"
    assert select_files(FILES, "r", quant="q4").files[0].file == "m.Q4_0.gguf"
    supported += ["q4_k", "q6_k"]
    assert select_files(FILES, "r").files[0].file == "m.Q4_K_M.gguf"
    assert select_files(FILES, "r", quant="q4").files[0].file == "m.Q4_K_M.gguf"


def test_shards_form_one_model_and_incomplete_sets_are_skipped() -> None:
    shards = [ListedFile(f"m-Q8_0-{n:05}-of-00003.gguf", 10) for n in (3, 1, 2)]
    model = select_files(shards, "r")
    assert [item.file[7:12] for item in model.files] == ["00001", "00002", "00003"]
    assert model.n_bytes == 30
    assert select_files(shards, "r", file=shards[0].file) == model
    with pytest.raises(BadInput, match="no GGUF"):
        select_files(shards[:2], "r")
    huge = [ListedFile("m-00001-of-99999.gguf", 1)]
    with pytest.raises(BadInput, match="no GGUF"):
        select_files(huge, "r")


def test_errors_list_the_alternatives() -> None:
    with pytest.raises(BadInput, match=r"r: unknown quantization `q3`; expected one of .*Q4_0"):
        select_files(FILES, "r", quant="q3")
    with pytest.raises(BadInput, match=r"r: unknown file `x.gguf`; expected one of .*m.Q4_0.gguf"):
        select_files(FILES, "r", file="x.gguf")
    with pytest.raises(BadInput, match="r has no GGUF file"):
        select_files(FILES[:1], "r")
