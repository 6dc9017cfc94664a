"""Which file of a repository is taken."""

from __future__ import annotations

import pytest

from zeropoint.catalogue.file_selection import Listed, choose, format_of, runs_here
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
        ("Q8_0/m.gguf", "Q8_0"),
        ("m-Q8_0-00001-of-00002.gguf", "Q8_0"),
        ("q4of7.gguf", None),
        ("model.gguf", None),
    ],
)
def test_format_in_a_name(file: str, format: str | None) -> None:
    assert format_of(file) == format


def test_the_folder_of_formats_says_what_runs() -> None:
    assert all(runs_here(tag) for tag in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"))
    assert not any(runs_here(tag) for tag in ("IQ2_XXS", "Q9_9", "", None))


FILES = [
    Listed("README.md", 10),
    Listed("m.Q2_K.gguf", 50),
    Listed("m.Q4_K_M.gguf", 90),
    Listed("m.Q4_1.gguf", 100),
    Listed("m.Q4_0.gguf", 80),
    Listed("m.Q8_0.gguf", 200),
    Listed("m.IQ4_XS.gguf", 70),
    Listed("mmproj-m-f16.gguf", 5),
]


@pytest.mark.parametrize(
    ("quant", "file"),
    [("q8", "m.Q8_0.gguf"), ("Q4_1", "m.Q4_1.gguf"), ("q4_k", "m.Q4_K_M.gguf"), ("iq4", "m.IQ4_XS.gguf")],
)
def test_a_quantisation_or_its_beginning(quant: str, file: str) -> None:
    assert choose(FILES, "r", quant=quant).files[0].file == file


def test_what_runs_here_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ["q4_0", "q4_1", "q8_0"]
    monkeypatch.setattr("zeropoint.registry.names", lambda _: ours)
    assert choose(FILES, "r").files[0].file == "m.Q4_0.gguf"
    assert choose(FILES, "r", quant="q4").files[0].file == "m.Q4_0.gguf"
    ours += ["q4_k", "q6_k"]
    assert choose(FILES, "r").files[0].file == "m.Q4_K_M.gguf"
    assert choose(FILES, "r", quant="q4").files[0].file == "m.Q4_K_M.gguf"


def test_shards_are_one_model_and_a_missing_one_makes_none() -> None:
    shards = [Listed(f"m-Q8_0-{n:05}-of-00003.gguf", 10) for n in (3, 1, 2)]
    choice = choose(shards, "r")
    assert [listed.file[7:12] for listed in choice.files] == ["00001", "00002", "00003"]
    assert choice.n_bytes == 30
    assert choose(shards, "r", file=shards[0].file) == choice
    with pytest.raises(BadInput, match="no GGUF"):
        choose(shards[:2], "r")
    huge = [Listed("m-00001-of-99999.gguf", 1)]
    with pytest.raises(BadInput, match="no GGUF"):
        choose(huge, "r")


def test_refusals_say_what_there_is() -> None:
    with pytest.raises(BadInput, match=r"r: unknown quantisation `q3`; expected one of .*Q4_0"):
        choose(FILES, "r", quant="q3")
    with pytest.raises(BadInput, match=r"r: unknown file `x.gguf`; expected one of .*m.Q4_0.gguf"):
        choose(FILES, "r", file="x.gguf")
    with pytest.raises(BadInput, match="r has no GGUF file"):
        choose(FILES[:1], "r")
