"""Word vectors recover the structure of a synthetic text."""

from __future__ import annotations

import random

import pytest
import torch

from zeropoint.errors import BadInput
from zeropoint.learn.word2vec.model import SkipGram, WordVectors
from zeropoint.learn.word2vec.train import WordTask, train_cbow, train_glove, train_skip_gram

ROLES = {"ruler": ("king", "queen"), "child": ("boy", "girl"), "adult": ("man", "woman")}
ROLE_WORDS = {"ruler": ["crown", "throne"], "child": ["toy", "school"], "adult": ["work", "office"]}
GENDER_WORDS = [["he", "his"], ["she", "her"]]


def corpus(n_sentences: int = 3000) -> list[str]:
    """Each person occurs next to words of a role and words of a gender; filler words carry no information."""
    rng = random.Random(0)
    text: list[str] = []
    for _ in range(n_sentences):
        role, gender = rng.choice(list(ROLES)), rng.randrange(2)
        phrase = [rng.choice(GENDER_WORDS[gender]), ROLES[role][gender], rng.choice(ROLE_WORDS[role])]
        text += phrase + [f"filler{rng.randrange(8)}" for _ in range(2)]
    return text


TEXT = corpus()
TASK = WordTask(d_model=12, window=2, n_epochs=4, batch_size=1024, learning_rate=0.02)


@pytest.fixture(scope="module")
def skip_gram() -> WordVectors:
    return train_skip_gram(TEXT, TASK)


def test_skip_gram_neighbours(skip_gram: WordVectors) -> None:
    for pair in (("crown", "throne"), ("toy", "school"), ("he", "his"), ("she", "her")):
        assert skip_gram.neighbours(pair[0], 1)[0][0] == pair[1]
    assert skip_gram.similarity("king", "queen") > skip_gram.similarity("king", "girl")


ANALOGIES = [
    ("man", "woman", "king", "queen"),
    ("boy", "girl", "man", "woman"),
    ("king", "boy", "queen", "girl"),
]


@pytest.mark.parametrize(("a", "b", "c", "d"), ANALOGIES)
def test_skip_gram_analogies(skip_gram: WordVectors, a: str, b: str, c: str, d: str) -> None:
    assert skip_gram.analogy(a, b, c)[0][0] == d


@pytest.mark.train
def test_cbow_recovers_neighbours_and_analogies() -> None:
    vectors = train_cbow(
        TEXT, WordTask(d_model=12, window=2, n_epochs=12, batch_size=256, learning_rate=0.02)
    )
    assert vectors.neighbours("she", 1)[0][0] == "her"
    assert [vectors.analogy(a, b, c)[0][0] for a, b, c, _ in ANALOGIES] == [d for *_, d in ANALOGIES]


@pytest.mark.train
def test_glove_recovers_neighbours_and_analogies() -> None:
    vectors = train_glove(
        TEXT, WordTask(d_model=8, window=4, n_epochs=100, batch_size=128, learning_rate=0.05)
    )
    assert vectors.neighbours("she", 1)[0][0] == "her"
    assert vectors.neighbours("crown", 1)[0][0] == "throne"
    assert sum(vectors.analogy(a, b, c)[0][0] == d for a, b, c, d in ANALOGIES) >= 2


def test_a_seed_reproduces_the_vectors_and_preserves_torchs_generator() -> None:
    task = WordTask(d_model=4, n_epochs=1, seed=3)
    before = torch.get_rng_state()
    first, second = train_skip_gram(TEXT[:500], task), train_skip_gram(TEXT[:500], task)
    assert (first.vectors_VD == second.vectors_VD).all()
    assert (torch.get_rng_state() == before).all()


def test_the_initial_loss_is_ln_2_per_comparison() -> None:
    model, ids = SkipGram(7, 4), torch.arange(3)
    assert model(ids, ids, torch.zeros(3, 5, dtype=torch.long)).item() == pytest.approx(
        6 * 0.6931472, rel=1e-5
    )


def test_unknown_words_and_short_texts_are_rejected(skip_gram: WordVectors) -> None:
    with pytest.raises(BadInput, match="quen"):
        skip_gram.neighbours("quen")
    with pytest.raises(BadInput, match="window of 4"):
        train_cbow(["a", "b", "a"])
