"""Completion-only loss: targets are completions, wherever rows are cut and however they are prepared."""

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
COMPLETIONS = TokenizeOptions("characters", validation=0.4, loss="completion")


def write_records(path: Path, records: list[dict[str, str]]) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records), "utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_records(tmp_path / "sums.jsonl", RECORDS)


def targets(corpus: Corpus, split: int, n_ctx: int = 50) -> str:
    """All targets of an epoch, decoded, in order."""
    batches = corpus.batches("epochs", n_ctx=n_ctx, n_rows=1, seed=3)[split]
    rows = -(-(len((corpus.train, corpus.validation)[split]) - 1) // n_ctx)
    ids = np.concatenate([batches.batch(step)[1][0] for step in range(rows)])
    return corpus.codec.decode(ids[ids != IGNORED].tolist())


def test_targets_are_completions_and_their_ends_but_no_prompts(file: Path) -> None:
    corpus = open_corpus(file, COMPLETIONS)
    validation = targets(corpus, 1)
    answers = [record["output"] for record in RECORDS]
    assert validation.endswith(END_CHARACTER)
    completions = validation.split(END_CHARACTER)[:-1]
    assert 0 < len(completions) < 40
    assert completions == [answer for answer in answers if answer in completions]
    train = "".join(answer + END_CHARACTER for answer in answers if answer not in completions)
    assert Counter(targets(corpus, 0)) == Counter(train)


def test_inputs_are_the_complete_text(file: Path) -> None:
    """The inputs equal those with loss="all"; only the targets differ."""
    completions, everything = (
        open_corpus(file, COMPLETIONS),
        open_corpus(file, TokenizeOptions(validation=0.4)),
    )
    for order in ("epochs", "windows"):
        how = {"n_ctx": 50, "n_rows": 4, "seed": 1}
        (ids, following, _), (all_ids, all_following) = (
            corpus.batches(order, **how)[0].batch(2) for corpus in (completions, everything)
        )
        assert (ids == all_ids).all()
        is_target = following != IGNORED
        assert 0 < is_target.mean() < 0.5
        assert (following[is_target] == all_following[is_target]).all()
    assert prompt_text("Add")[:20] in everything.codec.decode(everything.train[:].tolist())


@pytest.mark.parametrize("order", ["epochs", "windows"])
def test_documents_of_a_row_are_numbered(file: Path, order: str) -> None:
    corpus = open_corpus(file, COMPLETIONS)
    ids_BT, _, document_BT = corpus.batches(order, n_ctx=400, n_rows=4, seed=1)[0].batch(1)
    for ids_T, document_T in zip(ids_BT, document_BT, strict=True):
        texts = [corpus.codec.decode(ids_T[document_T == n].tolist()) for n in range(document_T[-1] + 1)]
        assert len(texts) >= 3
        assert "".join(texts) == corpus.codec.decode(ids_T.tolist())
        assert all(text.startswith(prompt_text("Add")[:9]) for text in texts[1:-1])
        assert all(text.count(END_CHARACTER) == 1 and text.endswith(END_CHARACTER) for text in texts[:-1])


@pytest.mark.process
def test_shards_and_any_number_of_processes_give_the_same_batches(file: Path, tmp_path: Path) -> None:
    whole = open_corpus(file, COMPLETIONS)
    for workers in (1, 2):
        manifest = prepare(file, tmp_path / f"{workers}", COMPLETIONS, workers=workers, shard_tokens=700)
        corpus = open_corpus(tmp_path / f"{workers}", COMPLETIONS)
        assert len(manifest.train.shards) > 1
        ours, theirs = (
            one.batches("epochs", n_ctx=30, n_rows=4, seed=1)[0].batch(3) for one in (corpus, whole)
        )
        for one, other in zip(ours, theirs, strict=True):
            assert (one == other).all()
    with pytest.raises(BadInput, match=r"made with loss=completion, not all; set data\.loss=completion"):
        open_corpus(tmp_path / "1", TokenizeOptions())


def test_cutting_long_documents_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = open_corpus(file, COMPLETIONS)
    monkeypatch.setattr(tokenize, "_PIECE_CHARACTERS", 4)
    cut = open_corpus(file, COMPLETIONS)
    assert (cut.train[:] == whole.train[:]).all()
    assert (cut.validation[:] == whole.validation[:]).all()


def test_marked_ids_fit_their_type(file: Path, tmp_path: Path) -> None:
    manifest = prepare(file, tmp_path / "shards", COMPLETIONS)
    assert manifest.n_ids == 2 * manifest.n_vocab
    assert TokenizeOptions(loss="completion").dtype(codec_of_size(40_000)) == np.uint32
    assert TokenizeOptions().dtype(codec_of_size(40_000)) == np.uint16


def codec_of_size(n_vocab: int) -> Any:
    return SimpleNamespace(n_vocab=n_vocab)


def test_prompts_without_a_completion_are_skipped_with_a_notice(tmp_path: Path) -> None:
    empty = {"instruction": "Sing.", "output": " "}
    notices: list[str] = []
    some = open_corpus(
        write_records(tmp_path / "a.jsonl", [empty, *RECORDS]), COMPLETIONS, notice=notices.append
    )
    assert [text for text in notices if "skipping 1 prompts of" in text and "no completion" in text]
    without = open_corpus(write_records(tmp_path / "b.jsonl", RECORDS), COMPLETIONS)
    assert len(some.train) + len(some.validation) == len(without.train) + len(without.validation)
    with pytest.raises(BadInput, match=r"c\.jsonl has no prompt with a completion"):
        open_corpus(write_records(tmp_path / "c.jsonl", [empty, empty]), COMPLETIONS)


def test_text_without_prompts_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"d\.jsonl holds text that is no prompt with its answer.*loss=all"):
        open_corpus(write_records(tmp_path / "d.jsonl", [{"text": "once"}, {"text": "twice"}]), COMPLETIONS)
    with pytest.raises(BadInput, match="so none can be held out"):
        open_corpus(write_records(tmp_path / "e.jsonl", RECORDS[:1]), COMPLETIONS)
