"""Parse model names into references."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zeropoint.catalogue import cache, huggingface, model_refs
from zeropoint.catalogue.hub_ref import HubRef
from zeropoint.catalogue.model_refs import CatalogueRef, FileRef, StoreRef, UrlRef
from zeropoint.errors import BadInput
from zeropoint.settings import Settings

HUB = "https://hub.invalid"


@pytest.fixture(autouse=True)
def _other_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface.library().constants, "ENDPOINT", HUB)


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("/a/b.gguf", FileRef(Path("/a/b.gguf"))),
        ("./a", FileRef(Path("./a"))),
        ("../a", FileRef(Path("../a"))),
        ("a.gguf", FileRef(Path("a.gguf"))),
        ("owner/a.gguf", FileRef(Path("owner/a.gguf"))),
        ("a.safetensors", FileRef(Path("a.safetensors"))),
        ("dir\\a", FileRef(Path("dir\\a"))),
        ("~/a", FileRef(Path("~/a").expanduser())),
        ("owner/repo", HubRef("owner/repo")),
        ("owner/repo:Q4_0", HubRef("owner/repo", "Q4_0")),
        ("hf:owner/repo", HubRef("owner/repo")),
        ("hf:owner/repo:q4", HubRef("owner/repo", "q4")),
        ("hf:owner/repo@v1.0", HubRef("owner/repo", None, "v1.0")),
        ("hf:owner/repo:Q8_0@refs/pr/1", HubRef("owner/repo", "Q8_0", "refs/pr/1")),
        ("hf:owner/repo#sub/m.gguf", HubRef("owner/repo", None, None, "sub/m.gguf")),
        ("hf:owner/repo:q8@abc#m.gguf", HubRef("owner/repo", "q8", "abc", "m.gguf")),
        ("hf:owner/repo:m.gguf", HubRef("owner/repo", None, None, "m.gguf")),
        ("hf:owner/repo:sub/m.GGUF", HubRef("owner/repo", None, None, "sub/m.GGUF")),
        ("hf://owner/repo", HubRef("owner/repo")),
        ("hf://owner/repo@v1/sub/m.gguf", HubRef("owner/repo", None, "v1", "sub/m.gguf")),
        (f"{HUB}/owner/repo", HubRef("owner/repo")),
        (f"{HUB}/owner/repo/tree/main", HubRef("owner/repo", None, "main")),
        (f"{HUB}/owner/repo/blob/main/m.gguf", HubRef("owner/repo", None, "main", "m.gguf")),
        (f"{HUB}/owner/repo/resolve/v1/a/m.gguf?x=1", HubRef("owner/repo", None, "v1", "a/m.gguf")),
        ("https://x.invalid/a/m.gguf", UrlRef("https://x.invalid/a/m.gguf")),
        ("http://x.invalid/a/b/resolve/main/m.gguf", UrlRef("http://x.invalid/a/b/resolve/main/m.gguf")),
        ("ollama:llama3", StoreRef("ollama", "llama3")),
        ("ollama:me/llama3:8b", StoreRef("ollama", "me/llama3", "8b")),
        ("lmstudio:owner/name:q8_0", StoreRef("lmstudio", "owner/name", "q8_0")),
    ],
)
def test_a_name_parses_to_its_reference(name: str, ref: object) -> None:
    assert model_refs.parse(name) == ref


@pytest.mark.parametrize("name", ["smollm2:135m", "smollm2", "SmolLM2-135M-Instruct"])
def test_catalogue_names_and_aliases(name: str) -> None:
    ref = model_refs.parse(name)
    assert isinstance(ref, CatalogueRef)
    assert ref.display_name == ref.key == "smollm2:135m"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 5000,
        "a\nb",
        "a\x00b",
        "\x1b[31mred",
        "hf:",
        "hf:owner",
        "hf:owner/repo/more",
        "hf:../repo",
        "hf:owner/..",
        "hf:owner/re..po",
        "hf:owner/repo:q4;rm",
        "hf:owner/repo@../../x",
        "hf:owner/repo@-x",
        "hf:owner/repo#../m.gguf",
        "hf:owner/repo#/etc/m.gguf",
        "hf:owner/repo#a//m.gguf",
        "hf:owner/repo#a/./m.gguf",
        "hf:owner/repo#..\\m.gguf",
        "hf:owner/repo#C:m.gguf",
        "hf:owner/repo#m.bin",
        "hf:owner/repo#" + "a" * 600 + ".gguf",
        "hf://owner",
        "hf://owner/repo/../../m.gguf",
        f"{HUB}/owner/repo/resolve/main/%2e%2e/m.gguf",
        f"{HUB}/owner/repo/resolve/main/..%2f..%2fm.gguf",
        "https:///m.gguf",
        "https://[::1/m.gguf",
        "https://x.invalid:99999/m.gguf",
        "https://user:password@x.invalid/m.gguf",
        "https://x.invalid/m.bin",
        "ollama:",
        "ollama:../x",
        "ollama:a/../b",
        "lmstudio:/etc",
        "nobody:knows",
        "a b",
        "owner/repo/deeper",
    ],
)
def test_invalid_names_give_a_one_line_error(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        model_refs.parse(name)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_suggests_the_closest() -> None:
    with pytest.raises(BadInput, match=r"unknown model `smolm2:135m`.*closest: smollm2:135m"):
        model_refs.parse("smolm2:135m")


def test_an_ambiguous_name_lists_both_meanings(home: Path) -> None:
    Path("smollm2").write_bytes(b"GGUF")
    with pytest.raises(BadInput, match=r"can mean the path \./smollm2 or the catalogue's smollm2:135m"):
        model_refs.parse("smollm2")
    Path("mine").write_bytes(b"GGUF")
    assert model_refs.parse("mine") == FileRef(Path("mine"))


def test_every_name_has_its_own_folder_inside_the_cache(home: Path) -> None:
    settings = Settings.read()
    names = ["smollm2:135m", "smollm2-135m", "hf:o/r", "hf:o/R", "hf:o/r:q4", "https://x/..", "..", "é" * 900]
    folders = [cache.folder_of(settings, name) for name in names]
    assert folders[0].name == folders[1].name == "smollm2-135m"  # aliases are resolved before
    assert len(set(folders[1:])) == len(names) - 1
    for folder in folders:
        assert folder.parent == home / "models"
        assert os.path.normpath(folder) == str(folder)
        assert len(folder.name) < 100


def make_run(name: str) -> Path:
    """A training run in runs/ with a checkpoint of step 120."""
    run = Path("runs") / name
    (run / "checkpoints" / "step-000120").mkdir(parents=True)
    for file in ("run.json", "latest", "best"):
        (run / file).write_text("step-000120")
    return run


@pytest.mark.parametrize(
    "name", ["runs/nope", "runs/nope/best", "owner/nope", "models/x.gguf", "x.BIN", "./x", "."]
)
def test_a_name_that_looks_like_a_path_is_one(home: Path, name: str) -> None:
    Path("owner").mkdir()
    assert model_refs.parse(name) == FileRef(Path(name))


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("owner/nope:Q4_0", HubRef("owner/nope", "Q4_0")),
        ("other/nope", HubRef("other/nope")),
        ("hf:owner/nope", HubRef("owner/nope")),
        ("hf:runs/nope", HubRef("runs/nope")),
    ],
)
def test_a_repository_beside_a_folder_of_its_owners_name(home: Path, name: str, ref: object) -> None:
    Path("owner").mkdir()
    assert model_refs.parse(name) == ref


def test_a_training_run_is_found_by_its_name_alone(home: Path) -> None:
    run = make_run("harbour")
    assert model_refs.parse("harbour") == FileRef(run)
    assert model_refs.parse("harbour@best") == model_refs.parse("harbour/best") == FileRef(run / "best")
    assert model_refs.parse("harbour@120") == FileRef(run / "checkpoints" / "step-000120")
    with pytest.raises(BadInput, match=r"unknown model `habour`.*closest: harbour"):
        model_refs.parse("habour")
    with pytest.raises(BadInput, match=r"`harbour@7`: no such checkpoint; the run has those of steps 120"):
        model_refs.parse("harbour@7")


def test_a_run_with_the_name_of_another_model_is_ambiguous(home: Path) -> None:
    run = make_run("smollm2")
    message = r"can mean the catalogue's smollm2:135m or the training run \./runs/smollm2; write it in full"
    with pytest.raises(BadInput, match=message):
        model_refs.parse("smollm2")
    assert isinstance(model_refs.parse("smollm2:135m"), CatalogueRef)
    assert model_refs.parse("runs/smollm2") == model_refs.parse("run:smollm2") == FileRef(run)


def test_a_training_run_is_found_by_prefix_and_by_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run("tiny")
    assert model_refs.parse("run:tiny") == model_refs.parse("runs/tiny") == FileRef(run)
    assert model_refs.parse("run:tiny@best") == FileRef(run / "best")
    assert model_refs.parse("run:tiny@120") == FileRef(run / "checkpoints" / "step-000120")
    for name, message in {
        "run:tinyy": r"unknown run `tinyy`.*closest: tiny",
        "run:tiny@7": r"no such checkpoint; the run has those of steps 120",
        "run:../tiny": "is malformed",
        "run:tiny@../x": "is malformed",
        "run:": "is malformed",
    }.items():
        with pytest.raises(BadInput, match=message):
            model_refs.parse(name)
