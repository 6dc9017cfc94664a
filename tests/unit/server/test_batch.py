"""OpenAI's batch format: one result for each request, in order, also after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zeropoint
from tests.unit.server.conftest import make_pool
from zeropoint.errors import BadInput
from zeropoint.server.batch import run_batch

pytestmark = pytest.mark.model
CHAT = "/v1/chat/completions"


def line(custom_id: str, body: dict[str, object], url: str = CHAT, **more: object) -> str:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body} | more)


def chat(text: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 5, "seed": 1, **more}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    lines = [line(f"q{i}", chat(f"question {i}")) for i in range(10)]
    lines += [
        "",
        line("text", {"prompt": "abc", "max_tokens": 3}, "/v1/completions"),
        line("vector", {"input": "abc"}, "/v1/embeddings"),
        line("bad", chat("x", frobnicate=1)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def results_of(target: Path) -> list[dict[str, object]]:
    return [json.loads(text) for text in target.read_text().splitlines()]


def test_every_request_has_one_result_in_order(model_path: Path, source: Path, tmp_path: Path) -> None:
    target, seen = tmp_path / "out.jsonl", []
    done = run_batch(
        make_pool(model_path),
        source,
        target,
        n_parallel=4,
        on_progress=lambda n, total: seen.append((n, total)),
    )
    assert done == (13, 1)
    assert seen == [(n, 13) for n in range(1, 14)]
    results = results_of(target)
    assert [r["custom_id"] for r in results] == [*(f"q{i}" for i in range(10)), "text", "vector", "bad"]
    with zeropoint.load(model_path, threads=1) as model:
        for i in range(10):
            message = results[i]["response"]["body"]["choices"][0]["message"]
            assert message["content"] == model.chat(f"question {i}", max_tokens=5, seed=1).text()
    assert results[-1]["response"]["status_code"] == 400
    assert "frobnicate" in results[-1]["error"]["message"]
    assert results[0]["error"] is None
    assert list(tmp_path.glob("*.partial")) == []


def test_an_interrupted_run_continues(model_path: Path, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(make_pool(model_path), source, target, n_parallel=2, on_progress=stop)
    assert not target.exists()
    partial = tmp_path / "out.jsonl.partial"
    kept = partial.read_text()
    n_kept = kept.count("\n")
    assert 5 <= n_kept <= 6
    partial.write_text(kept + '{"custom_id": "q9", "respo')  # cut off in the middle of a line
    seen = []
    assert run_batch(
        make_pool(model_path), source, target, n_parallel=2, on_progress=lambda n, total: seen.append(n)
    ) == (13, 1)
    assert len(seen) == 13 - n_kept
    assert len({r["custom_id"] for r in results_of(target)}) == 13
    assert kept.splitlines()[0] in target.read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: expected an object with body, custom_id, method, url"),
        (line("a", chat("x"), method="GET"), "method must be POST"),
        (line("a", chat("x"), "/v1/nothing"), "url one of"),
        (line("", chat("x")), "custom_id must be"),
        (line("a", chat("x")) + "\n" + line("a", chat("x")), "line 2: custom_id 'a' occurs twice"),
    ],
)
def test_a_file_that_is_no_batch_is_refused_before_work(
    model_path: Path, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    with pytest.raises(BadInput, match=words):
        run_batch(make_pool(model_path), path, tmp_path / "out.jsonl", n_parallel=2)
    assert list(tmp_path.iterdir()) == [path]
