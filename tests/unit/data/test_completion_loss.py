"""Of a prompt with its answer the answer is asked for, wherever rows are cut and whoever takes them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zeropoint.data import tokenize
from zeropoint.data.batches import IGNORED
from zeropoint.data.corpus import Corpus, open_corpus
from zeropoint.data.instructions import prompt_text
from zeropoint.data.prepare import prepare
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput
from zeropoint.tokenizers.train.char import END_CHARACTER

RECORDS = [{"instruction": f"Add {n} to 1.", "input": "", "output": f"It is {n + 1}."} for n in range(40)]
ANSWERS = TokenizeOptions("characters", validation=0.4, loss="completion")


def written(path: Path, records: list[dict[str, str]]) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "sums.jsonl", RECORDS)


def asked(corpus: Corpus, side: int, n_ctx: int = 50) -> str:
    """All that an epoch asks for, in its order."""
    batches = corpus.batches("epochs", n_ctx=n_ctx, n_rows=1, seed=3)[side]
    rows = -(-(len((corpus.train, corpus.validation)[side]) - 1) // n_ctx)
    found = np.concatenate([batches.batch(step)[1][0] for step in range(rows)])
    return corpus.codec.decode(found[found != IGNORED].tolist())


def test_answers_and_their_ends_are_asked_for_and_no_prompt(file: Path) -> None:
    corpus = open_corpus(file, ANSWERS)
    held = asked(corpus, 1)
    answers = [record["output"] for record in RECORDS]
    assert held.endswith(END_CHARACTER)
    said = held.split(END_CHARACTER)[:-1]
    assert 0 < len(said) < 40
    assert said == [answer for answer in answers if answer in said]
    learnt = "".join(answer + END_CHARACTER for answer in answers if answer not in said)
    assert Counter(asked(corpus, 0)) == Counter(learnt)


def test_what_goes_in_is_the_whole_text(file: Path) -> None:
    """The same ids as where all is asked for; only targets differ."""
    some, every = open_corpus(file, ANSWERS), open_corpus(file, TokenizeOptions(validation=0.4))
    for order in ("epochs", "windows"):
        how = {"n_ctx": 50, "n_rows": 4, "seed": 1}
        (ids, following, _), (all_ids, all_following) = (
            corpus.batches(order, **how)[0].batch(2) for corpus in (some, every)
        )
        assert (ids == all_ids).all()
        is_asked = following != IGNORED
        assert 0 < is_asked.mean() < 0.5
        assert (following[is_asked] == all_following[is_asked]).all()
    assert prompt_text("Add")[:20] in every.codec.decode(every.train[:].tolist())


@pytest.mark.parametrize("order", ["epochs", "windows"])
def test_the_documents_of_a_row_are_told_apart(file: Path, order: str) -> None:
    corpus = open_corpus(file, ANSWERS)
    ids_BT, _, document_BT = corpus.batches(order, n_ctx=400, n_rows=4, seed=1)[0].batch(1)
    for ids_T, document_T in zip(ids_BT, document_BT, strict=True):
        texts = [corpus.codec.decode(ids_T[document_T == n].tolist()) for n in range(document_T[-1] + 1)]
        assert len(texts) >= 3
        assert "".join(texts) == corpus.codec.decode(ids_T.tolist())
        assert all(text.startswith(prompt_text("Add")[:9]) for text in texts[1:-1])
        assert all(text.count(END_CHARACTER) == 1 and text.endswith(END_CHARACTER) for text in texts[:-1])


def test_shards_and_any_number_of_processes_ask_for_the_same(file: Path, tmp_path: Path) -> None:
    whole = open_corpus(file, ANSWERS)
    for workers in (1, 2):
        manifest = prepare(file, tmp_path / f"{workers}", ANSWERS, workers=workers, shard_tokens=700)
        corpus = open_corpus(tmp_path / f"{workers}", ANSWERS)
        assert len(manifest.train.shards) > 1
        ours, theirs = (
            one.batches("epochs", n_ctx=30, n_rows=4, seed=1)[0].batch(3) for one in (corpus, whole)
        )
        for one, other in zip(ours, theirs, strict=True):
            assert (one == other).all()
    with pytest.raises(BadInput, match=r"made with loss=completion, not all; set data\.loss=completion"):
        open_corpus(tmp_path / "1", TokenizeOptions())


def test_a_long_document_that_is_cut_asks_for_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_corpus(file, ANSWERS)
    monkeypatch.setattr(tokenize, "_PIECE", 4)
    cut = open_corpus(file, ANSWERS)
    assert (cut.train[:] == whole.train[:]).all()
    assert (cut.validation[:] == whole.validation[:]).all()


def test_ids_that_are_told_apart_have_room(file: Path, tmp_path: Path) -> None:
    manifest = prepare(file, tmp_path / "shards", ANSWERS)
    assert manifest.n_ids == 2 * manifest.n_vocab
    assert TokenizeOptions(loss="completion").dtype(of_size(40_000)) == np.uint32
    assert TokenizeOptions().dtype(of_size(40_000)) == np.uint16


def of_size(n_vocab: int) -> Any:
    return SimpleNamespace(n_vocab=n_vocab)


def test_a_prompt_without_an_answer_is_left_out_and_told(tmp_path: Path) -> None:
    empty = {"instruction": "Sing.", "output": " "}
    told: list[str] = []
    some = open_corpus(written(tmp_path / "a.jsonl", [empty, *RECORDS]), ANSWERS, notice=told.append)
    assert [text for text in told if "1 prompts of" in text and "no answer" in text]
    without = open_corpus(written(tmp_path / "b.jsonl", RECORDS), ANSWERS)
    assert len(some.train) + len(some.validation) == len(without.train) + len(without.validation)
    with pytest.raises(BadInput, match=r"c\.jsonl holds no prompt with an answer"):
        open_corpus(written(tmp_path / "c.jsonl", [empty, empty]), ANSWERS)


def test_text_without_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"d\.jsonl holds text that is no prompt with its answer.*loss=all"):
        open_corpus(written(tmp_path / "d.jsonl", [{"text": "once"}, {"text": "twice"}]), ANSWERS)
    with pytest.raises(BadInput, match="so none can be held out"):
        open_corpus(written(tmp_path / "e.jsonl", RECORDS[:1]), ANSWERS)
