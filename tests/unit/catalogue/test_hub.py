"""Hugging Face repositories: the real library with a hub on loopback, and its cache on this disk."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

import zeropoint
from zeropoint.catalogue import cache, catalog, fetch, huggingface
from zeropoint.cli.app import main
from zeropoint.errors import BadInput, BadModelFile, NetworkError
from zeropoint.settings import Settings

from .conftest import MODEL, SHA256, Handler, Site, catalogue

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "some-owner/tiny-GGUF"
HUB_SOURCE = f'kind = "hub"\nrepo = "{REPO}"\nfile = "m-Q4_0.gguf"'


class Hub:
    """Publishes files of one repository on a site."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.cache = site, folder
        self.publish({"m-Q4_0.gguf": MODEL, "m-Q8_0.gguf": MODEL * 2, "README.md": b"# m"})

    def publish(self, files: dict[str, bytes], commit: str = COMMIT) -> None:
        """Make `files` the content of the main branch."""
        siblings = []
        for name, content in files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            siblings.append({"rfilename": name, "size": len(content), "lfs": _lfs(sha256, len(content))})
            for revision in ("main", commit):
                path = f"/{REPO}/resolve/{revision}/{name}"
                self.site.files[path] = content
                self.site.headers[path] = {"X-Repo-Commit": commit, "ETag": f'"{sha256}"'}
        answer = {"id": REPO, "modelId": REPO, "sha": commit, "siblings": siblings, "tags": ["license:mit"]}
        for path in (f"/api/models/{REPO}", f"/api/models/{REPO}/revision/main"):
            self.site.files[path] = json.dumps(answer).encode()
            self.site.types[path] = "application/json"


def _lfs(sha256: str, size: int) -> dict[str, object]:
    return {"sha256": sha256, "oid": sha256, "size": size, "pointerSize": 130}


@pytest.fixture
def fake(site: Site, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub library with its endpoint on loopback and an empty cache."""
    constants = huggingface.library().constants
    monkeypatch.setattr(constants, "ENDPOINT", site.address(""))
    template = site.address("") + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return Hub(site, tmp_path / "hub")


def test_the_preferred_file_is_selected_and_pinned(fake: Hub) -> None:
    notices: list[str] = []
    calls: list[tuple[int | None, int]] = []
    model = fetch.resolve(
        REPO, notice=notices.append, progress=lambda total, done: calls.append((total, done))
    )
    assert model.path.read_bytes() == MODEL
    assert model.path.is_relative_to(fake.cache)
    assert (model.name, model.revision) == (f"hf:{REPO}", COMMIT)
    assert notices == [f"fetching m-Q4_0.gguf of {REPO} at commit 0123456789ab"]
    assert calls[-1] == (len(MODEL), len(MODEL))
    (record,) = cache.records(Settings.read())
    assert (record.licence, record.repo, record.files[0].sha256) == ("mit", REPO, SHA256)

    new = "f" * 40
    fake.publish({"m-Q4_0.gguf": b"GGUF new"}, new)
    fake.site.requests.clear()
    assert fetch.resolve(f"hf:{REPO}") == model
    assert fake.site.requests == []
    refresh = fetch.resolve(REPO, refresh=True)
    assert (refresh.revision, refresh.path.read_bytes()) == (new, b"GGUF new")


@pytest.mark.parametrize("tail", [":q8", "#m-Q8_0.gguf", ":m-Q8_0.gguf", ":Q8_0@main"])
def test_a_file_by_quantization_or_name(fake: Hub, tail: str) -> None:
    assert fetch.resolve(f"hf:{REPO}{tail}").path.name == "m-Q8_0.gguf"


def test_a_page_url(fake: Hub) -> None:
    address = fake.site.address(f"/{REPO}/blob/main/m-Q8_0.gguf")
    assert fetch.resolve(address).name == f"hf:{REPO}@main#m-Q8_0.gguf"


def test_shards_form_one_model(fake: Hub) -> None:
    shards = {f"big-Q8_0-{n:05}-of-00003.gguf": MODEL + bytes([n]) for n in (1, 2, 3)}
    fake.publish(shards)
    calls: list[tuple[int | None, int]] = []
    model = fetch.resolve(REPO, progress=lambda total, done: calls.append((total, done)))
    assert model.path.name == "big-Q8_0-00001-of-00003.gguf"
    assert sorted(path.name for path in model.path.parent.iterdir()) == sorted(shards)
    assert calls[-1] == (3 * len(MODEL) + 3, 3 * len(MODEL) + 3)
    assert [done for _, done in calls] == sorted(done for _, done in calls)


def test_wrong_content_is_rejected(fake: Hub) -> None:
    path = f"/{REPO}/resolve/{COMMIT}/m-Q4_0.gguf"
    fake.site.files[path] = MODEL[:-1] + b"!"
    for _ in range(2):  # the library's cache does not keep it
        with pytest.raises(NetworkError, match="sha256 is"):
            fetch.resolve(REPO)
    assert list(cache.records(Settings.read())) == []
    fake.site.files[path] = MODEL
    assert fetch.resolve(REPO).path.read_bytes() == MODEL


def test_a_damaged_file_in_the_cache_of_the_library_is_fetched_again(fake: Hub) -> None:
    path = fetch.resolve(REPO).path
    fetch.remove(REPO)
    fetch.resolve(REPO)
    path.resolve().write_bytes(MODEL[:-1] + b"!")
    for record in cache.records(Settings.read()):
        (record.folder / "record.json").unlink()
    assert fetch.resolve(REPO).path.read_bytes() == MODEL


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (404, {"X-Error-Code": "RepoNotFound"}, "no repository some-owner/tiny-GGUF"),
        (401, {"X-Error-Code": "GatedRepo"}, "is gated: accept its terms"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "no such branch, tag or commit"),
        (429, {}, "HTTP 429"),
        (500, {}, "HTTP 500"),
    ],
)
def test_hub_errors_become_one_line_messages(
    fake: Hub, status: int, headers: dict[str, str], reason: str, quick: None
) -> None:
    fake.site.faults = [lambda handler: handler.answer(status, b"", headers)] * 20
    with pytest.raises(NetworkError, match=f"could not fetch hf:{REPO}: .*{reason}") as caught:
        fetch.resolve(REPO)
    assert "\n" not in str(caught.value)


def test_unknown_files_and_quantizations_list_the_alternatives(fake: Hub) -> None:
    with pytest.raises(BadInput, match=r"unknown quantization `q5`; expected one of Q4_0, Q8_0"):
        fetch.resolve(f"{REPO}:q5")
    with pytest.raises(BadInput, match=r"unknown file `x\.gguf`"):
        fetch.resolve(f"hf:{REPO}#x.gguf")


def test_an_unreachable_hub_fails_fast(fake: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface.library().constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(NetworkError, match=r"cannot be reached \(.*Connection refused"):
        fetch.resolve(REPO)


def test_the_hub_as_a_catalogue_source(
    fake: Hub, use: Callable[[str], catalog.CatalogEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(catalogue(HUB_SOURCE))
    model = fetch.resolve("tiny:1")
    assert (model.path.read_bytes(), model.revision) == (MODEL, COMMIT)
    assert fetch.remove("tiny:1") >= len(MODEL)
    assert not model.path.exists()
    fake.site.files[f"/{REPO}/resolve/main/m-Q4_0.gguf"] = MODEL + b"!"
    with pytest.raises(NetworkError, match="1,024,005 bytes instead of"):
        fetch.resolve("tiny:1")
    template = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface.library().constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(NetworkError, match=r"cannot be reached \(.*Connection refused"):
        fetch.resolve("tiny:1")


def test_files_in_the_hugging_face_cache_are_not_downloaded_again(
    fake: Hub, home: Path, use: Callable[[str], catalog.CatalogEntry]
) -> None:
    model = fetch.resolve(REPO)
    cache.remove(cache.folder_of(Settings.read(), f"hf:{REPO}"))
    fake.site.files.clear()
    fake.site.requests.clear()
    assert fetch.resolve(REPO, offline=True).path == model.path
    use(catalogue(HUB_SOURCE))
    assert fetch.resolve("tiny:1").path == model.path
    assert fetch.resolve(f"{REPO}:q4", offline=True).path == model.path
    with pytest.raises(NetworkError, match="offline mode"):
        fetch.resolve(f"{REPO}:q8", offline=True)
    with pytest.raises(NetworkError, match="offline mode"):
        fetch.resolve("other/repo", offline=True)
    assert fake.site.requests == []


def test_shared_files_stay_until_no_model_needs_them(fake: Hub) -> None:
    first, second = fetch.resolve(REPO), fetch.resolve(f"{REPO}:q4")
    assert first.path == second.path
    notices: list[str] = []
    fetch.remove(REPO, notice=notices.append)
    assert second.path.exists()
    assert notices == ["m-Q4_0.gguf stays in the Hugging Face cache; other models use its commit"]
    assert fetch.remove(f"{REPO}:q4") >= len(MODEL)
    assert not second.path.exists()


def test_a_revision_with_other_files_is_left_alone(fake: Hub) -> None:
    model = fetch.resolve(REPO)
    huggingface.library().hf_hub_download(REPO, "README.md", revision=COMMIT, cache_dir=fake.cache)
    fetch.remove(REPO)
    assert model.path.exists()
    assert list(cache.records(Settings.read())) == []


def test_a_link_out_of_the_cache_is_rejected(fake: Hub, tmp_path: Path) -> None:
    path = fetch.resolve(REPO).path
    secret = tmp_path / "secret"
    secret.write_bytes(MODEL)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(NetworkError, match="links to a file outside the cache"):
        fetch.resolve(REPO, refresh=True)


def test_lookup_reads_only_the_header(fake: Hub) -> None:
    info = fetch.lookup(f"{REPO}:q8")
    assert (info.file_bytes, info.format, info.licence) == (2 * len(MODEL), "Q8_0", "mit")
    assert (info.revision, info.path) == (COMMIT, None)
    assert info.header(lambda head, size: (head[:4], len(head), size)) == (b"GGUF", 1 << 20, 2 * len(MODEL))
    assert not fake.cache.exists()


def test_a_model_that_cannot_run_is_refused_before_its_download(fake: Hub, tmp_path: Path) -> None:
    from tests.support.tiny import write_tiny_model

    path = tmp_path / "m-F32.gguf"
    write_tiny_model(path, extra={"general.architecture": ("mamba", gguf.GGUFValueType.STRING)})
    fake.publish({path.name: path.read_bytes()})
    with pytest.raises(BadModelFile, match=r"tiny is a model with .* of the architecture `mamba`, which"):
        zeropoint.load(f"hf:{REPO}")
    ranges = [headers.get("Range") for method, url, headers in fake.site.requests if ".gguf" in url]
    assert ranges == ["bytes=0-1048575"]
    assert list(cache.records(Settings.read())) == []
    with pytest.raises(SystemExit):
        main(["pull", f"hf:{REPO}"])
    assert [record.name for record in cache.records(Settings.read())] == [f"hf:{REPO}"]


def test_weights_that_are_no_gguf_file_give_the_commands_that_convert_them(fake: Hub) -> None:
    fake.publish({"config.json": b"{}", "model.safetensors": b"x"})
    with pytest.raises(BadInput, match="no GGUF file") as refused:
        fetch.resolve(REPO)
    assert f"`hf download {REPO} --local-dir tiny-GGUF`" in str(refused.value)
    assert "`zeropoint convert tiny-GGUF tiny-GGUF.gguf`" in str(refused.value)
    fake.publish({"README.md": b"x"})
    with pytest.raises(BadInput, match=r"often named \.\.\.-GGUF\)$"):
        fetch.resolve(REPO)


def test_the_token_is_sent_only_to_the_hub(fake: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    away = fake.site.address("/elsewhere", "localhost")
    fake.site.files["/elsewhere"] = MODEL

    def redirect(handler: Handler) -> None:
        handler.answer(302, b"", {"Location": away})

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    info = fetch.lookup(REPO)
    fake.site.faults = [redirect]
    info.header(lambda head, size: head)
    first, second = fake.site.requests[-2:]
    assert first[2]["Authorization"] == "Bearer hf_secret"
    assert "Authorization" not in second[2]


@pytest.mark.process
def test_telemetry_is_off_before_the_library_is_imported(home: Path, fake: Hub) -> None:
    program = (
        "import sys; from zeropoint.catalogue import fetch; assert 'huggingface_hub' not in sys.modules;"
        f"print(fetch.resolve('{REPO}').path); import huggingface_hub.constants as c;"
        "assert c.HF_HUB_DISABLE_TELEMETRY; assert 'torch' not in sys.modules"
    )
    own = {"HF_ENDPOINT": fake.site.address(""), "HF_HOME": str(home / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | own, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).read_bytes() == MODEL


UNPINNED = f"""[[model]]
name = "tiny:1"
description = "d"
licence = "MIT"
format = "Q8_0"
[[model.source]]
kind = "hub_quant"
repo = "some-owner/gone-GGUF"
quant = "Q8_0"
[[model.source]]
kind = "hub_quant"
repo = "{REPO}"
quant = "Q8_0"
"""


def test_a_catalogue_model_without_a_hash_is_verified_with_the_hubs(
    fake: Hub, use: Callable[[str], catalog.CatalogEntry]
) -> None:
    entry = use(UNPINNED)
    notices: list[str] = []
    model = fetch.resolve("tiny:1", notice=notices.append)
    assert (model.path.read_bytes(), model.name, model.entry) == (MODEL * 2, "tiny:1", entry)
    assert notices == [
        "fetching tiny:1 (MIT) from Hugging Face (some-owner/gone-GGUF)",
        "Hugging Face (some-owner/gone-GGUF): the hub responded with HTTP 404",
        f"fetching tiny:1 (MIT) from Hugging Face ({REPO})",
    ]
    (record,) = cache.records(Settings.read())
    assert (record.name, record.licence, record.repo, record.revision) == ("tiny:1", "MIT", REPO, COMMIT)
    assert record.files[0].sha256 == hashlib.sha256(MODEL * 2).hexdigest()
    assert fetch.resolve("tiny:1", offline=True) == model

    fake.publish({"m-Q8_0.gguf": b"GGUF new"}, "f" * 40)
    assert fetch.resolve("tiny:1", refresh=True).path.read_bytes() == b"GGUF new"


def test_wrong_content_of_a_catalogue_model_without_a_hash(
    fake: Hub, use: Callable[[str], catalog.CatalogEntry]
) -> None:
    use(UNPINNED)
    fake.site.files[f"/{REPO}/resolve/{COMMIT}/m-Q8_0.gguf"] = MODEL * 2 + b"!"
    with pytest.raises(NetworkError, match=r"could not fetch tiny:1: .*gone-GGUF.*; .*tiny-GGUF.*bytes"):
        fetch.resolve("tiny:1")
    assert list(cache.records(Settings.read())) == []
    fake.publish({"m-Q4_0.gguf": MODEL})
    with pytest.raises(NetworkError, match="unknown quantization `Q8_0`"):
        fetch.resolve("tiny:1")


def test_a_catalogue_model_without_a_hash_is_described_by_its_header(
    fake: Hub, use: Callable[[str], catalog.CatalogEntry]
) -> None:
    entry = use(UNPINNED)
    info = fetch.lookup("tiny:1")
    assert (info.name, info.file_bytes, info.licence, info.entry) == ("tiny:1", 2 * len(MODEL), "MIT", entry)
    assert info.head is not None
    assert info.head(4) == b"GGUF"
    with pytest.raises(NetworkError, match="tiny:1 is not on this disk and offline mode is on"):
        fetch.lookup("tiny:1", offline=True)
    fake.site.files.clear()
    with pytest.raises(NetworkError, match=r"^cannot look up tiny:1: cannot look up hf:some-owner/gone"):
        fetch.lookup("tiny:1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('quant = "Q8_0"\n', "", r"`quant` is missing"),
        (
            'format = "Q8_0"',
            'format = "Q8_0"\nn_bytes = 1',
            r"`file` is missing; only a model of hub_quant sources",
        ),
        ('kind = "hub_quant"', 'kind = "hub"\nfile = "m.gguf"', r"unknown key `quant`"),
    ],
)
def test_a_catalogue_entry_is_pinned_or_not(old: str, new: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        catalog.read(UNPINNED.replace(old, new, 1), "test.toml")
