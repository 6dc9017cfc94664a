"""Models that Ollama and LM Studio stored on this disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeropoint.catalogue import fetch
from zeropoint.errors import BadInput

DIGEST = "ab" * 32


@pytest.fixture
def user(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def ollama(user: Path, manifest: object, name: str = "library/llama3/latest") -> Path:
    path = user / ".ollama/models/manifests/some.registry.invalid" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest))
    blob = user / f".ollama/models/blobs/sha256-{DIGEST}"
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(b"GGUF")
    return blob


def layers(digest: object, kind: object = "application/vnd.ollama.image.model") -> dict[str, object]:
    return {"layers": [{"mediaType": "x.template", "digest": "y"}, {"mediaType": kind, "digest": digest}]}


def test_ollama_models_are_found_by_name_and_tag(user: Path) -> None:
    blob = ollama(user, layers(f"sha256:{DIGEST}"))
    model = fetch.resolve("ollama:llama3")
    assert (model.path, model.name) == (blob, "ollama:llama3")
    with pytest.raises(BadInput, match=r"unknown ollama model `llama3:8b`; expected one of llama3:latest"):
        fetch.resolve("ollama:llama3:8b")


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {},
        {"layers": 5},
        {"layers": [5]},
        layers("sha256:../../x"),
        layers(5),
        layers(f"sha256:{'0' * 64}"),
    ],
)
def test_invalid_ollama_manifests_are_rejected(user: Path, manifest: object) -> None:
    ollama(user, manifest)
    with pytest.raises(BadInput, match="does not name a model file"):
        fetch.resolve("ollama:llama3")


def test_lmstudio_models_are_found_by_name_and_quantization(user: Path) -> None:
    folder = user / ".lmstudio/models/owner/Name-GGUF"
    folder.mkdir(parents=True)
    for tag in ("Q4_0", "Q8_0"):
        (folder / f"Name-{tag}.gguf").write_bytes(b"GGUF" + tag.encode())
    assert fetch.resolve("lmstudio:name-gguf").path.name == "Name-Q4_0.gguf"
    assert fetch.resolve("lmstudio:owner/Name-GGUF:q8").path.name == "Name-Q8_0.gguf"
    with pytest.raises(BadInput, match="unknown lmstudio model `other`"):
        fetch.resolve("lmstudio:other")


def test_an_empty_store_is_reported(user: Path) -> None:
    with pytest.raises(BadInput, match="ollama has no models on this disk"):
        fetch.resolve("ollama:llama3")


def test_models_of_other_programs_are_never_removed(user: Path) -> None:
    blob = ollama(user, layers(f"sha256:{DIGEST}"))
    with pytest.raises(BadInput, match="was not downloaded by zeropoint"):
        fetch.remove("ollama:llama3")
    assert blob.exists()
