"""KV snapshots: they restore the cache bit for bit, and damaged or foreign files are rejected."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import Model, SamplingParams
from zeropoint.engine.session.chat import Conversation
from zeropoint.errors import BadInput

GREEDY = SamplingParams.of(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "tiny.gguf"
    write_tiny_model(path, Tiny(n_ctx=768))
    return path


@pytest.fixture
def model(path: Path) -> Iterator[Model]:
    with zeropoint.load(path) as loaded:
        yield loaded


def some_ids(n: int) -> list[int]:
    return np.random.default_rng(n).integers(3, 261, n).tolist()


def answer(model: Model, ids: list[int]) -> tuple[list[int], int]:
    stream = model.generate(ids, GREEDY)
    stream.text()
    return stream.token_ids, stream.usage.cached_tokens


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache_type": "f16"},
        {"cache_type": "int8"},
        {"exact": True},
        {"window": 384},
        {"window": 384, "sinks": 0},
    ],
    ids=str,
)
def test_a_restored_cache_continues_bit_for_bit(options: dict[str, Any], path: Path, tmp_path: Path) -> None:
    ids, file = some_ids(650), tmp_path / "a.kv"
    with zeropoint.load(path, **options) as model:
        first, _ = answer(model, ids)
        more = [*ids, *first, 5, 6]
        expected, n_cached = answer(model, more)
        assert n_cached == 650 + 11
        assert model.save_cache([*more, *expected], file) == 650 + 12 + 2 + 11
    with zeropoint.load(path, **options) as model:
        assert model.load_cache(file) == [*more, *expected[:-1]]
        again, n_cached = answer(model, [*more, *expected, 9])
        assert n_cached == len(more) + 11
    with zeropoint.load(path, **options) as model:
        assert answer(model, [*more, *expected, 9]) == (again, 0)


def test_an_empty_cache_saves_no_tokens(model: Model, tmp_path: Path) -> None:
    assert model.save_cache(some_ids(20), tmp_path / "a.kv") == 0
    assert model.load_cache(tmp_path / "a.kv") == []


def test_the_cache_of_another_model_is_rejected(model: Model, path: Path, tmp_path: Path) -> None:
    answer(model, some_ids(50))
    model.save_cache(some_ids(50), tmp_path / "a.kv")
    other_path = tmp_path / "other.gguf"
    gain = np.ones(64, np.float32)
    for name, changes in (("gain", {"weights": {"blk.1.ffn_norm.weight": gain}}), ("seed", {})):
        write_tiny_model(other_path, Tiny(n_ctx=768, seed=int(name == "seed")), **changes)
        with zeropoint.load(other_path) as other, pytest.raises(BadInput, match="saved with another model"):
            other.load_cache(tmp_path / "a.kv")
    with zeropoint.load(path, cache_type="int8") as other, pytest.raises(BadInput, match=r"int16 .* int8"):
        other.load_cache(tmp_path / "a.kv")
    with zeropoint.load(path, window=384) as other, pytest.raises(BadInput, match="window 384"):
        other.load_cache(tmp_path / "a.kv")


def with_header(data: bytes, **changes: Any) -> bytes:
    """Replace header fields of a snapshot and recompute its checksum."""
    n = struct.unpack_from("<8sII", data)[2]
    header = {**json.loads(data[16 : 16 + n]), **changes}
    text = json.dumps(header).encode()
    body = struct.pack("<8sII", b"ZPCACHE\n", 3, len(text)) + text + data[16 + n : -32]
    return body + hashlib.sha256(body).digest()


def test_damaged_files_are_rejected(model: Model, tmp_path: Path) -> None:
    ids, file = some_ids(200), tmp_path / "a.kv"
    expected, _ = answer(model, ids)
    model.save_cache(ids, file)
    good = file.read_bytes()
    n_bytes = len(good) - 16 - struct.unpack_from("<8sII", good)[2] - 4 * 200 - 32
    n_header = struct.unpack_from("<8sII", good)[2]
    ids_at = 16 + n_header
    no_vocabulary = good[:ids_at] + struct.pack("<i", 10**6) + good[ids_at + 4 : -32]
    cases = [
        (b"", "is not a saved KV cache"),
        (b"GGUF" + good[4:], "is not a saved KV cache"),
        (good[:8] + struct.pack("<I", 2) + good[12:], "`version` is 2 and must be 3"),
        (good[:12] + struct.pack("<I", 2**31) + good[16:], "header is too long"),
        (good[:16] + b"\xff" + good[17:], "header cannot be read"),
        (good[:-1], r"must have \d+ bytes"),
        (good + b"x", r"must have \d+ bytes"),
        (good[: len(good) // 2], r"must have \d+ bytes"),
        (with_header(good, n_tokens=-1), "`n_tokens` has an invalid value"),
        (with_header(good, n_bytes=2**39), r"must have \d+ bytes"),
        (with_header(good, n_tokens="9"), "`n_tokens` has an invalid value"),
        (with_header(good, extra=1), "header cannot be read"),
        (with_header(good, model="0" * 16), "another model"),
        (with_header(good, n_bytes=16), r"must have \d+ bytes"),
        (with_header(good, n_tokens=100, n_bytes=n_bytes + 400), "its text needs"),
        (with_header(good, n_dropped=128), "not a valid state of this cache"),
        (with_header(good, n_dropped=7), "not a valid state of this cache"),
        (with_header(good, n_dropped=2**35), "contradict each other"),
        (no_vocabulary + hashlib.sha256(no_vocabulary).digest(), "outside the vocabulary"),
    ]
    for bit in range(0, 8 * (len(good) - ids_at), 99_991):
        flipped = bytearray(good)
        flipped[ids_at + bit // 8] ^= 1 << bit % 8
        cases.append((bytes(flipped), "checksum does not match"))
    for data, words in cases:
        file.write_bytes(data)
        with pytest.raises(BadInput, match=words):
            model.load_cache(file)
    assert answer(model, ids)[0] == expected


def test_only_a_snapshot_is_overwritten(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "a.kv"
    file.write_text("mine")
    with pytest.raises(BadInput, match="is not a saved KV cache"):
        model.save_cache([5], file)
    assert file.read_text() == "mine"
    with pytest.raises(BadInput, match="there is no file"):
        model.load_cache(tmp_path / "none.kv")


def test_a_loaded_conversation_reuses_its_cache(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    with zeropoint.load(path) as model:
        before = Conversation(model)
        before.ask("a question of some length, and then some more of it", GREEDY).text()
        before.save(file)
    with zeropoint.load(path) as model:
        after = Conversation(model)
        assert after.load(file) == []
        reply = after.ask("and another", GREEDY)
        reply.text()
        assert reply.usage.cached_tokens > 60
    with zeropoint.load(path, exact=True) as model:
        after = Conversation(model)
        assert "will be read again" in after.load(file)[0]
        assert after.messages == before.messages
