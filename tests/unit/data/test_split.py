"""The split: by content, so that equal documents are on one side; one long text is cut."""

from __future__ import annotations

from zeropoint.data.split import hash_position, split_text, threshold


def test_a_document_is_placed_by_its_content() -> None:
    assert hash_position("a story") == hash_position("\n a story ")
    places = [hash_position(f"story {i}") / 2**64 for i in range(2000)]
    assert abs(sum(place < 0.1 for place in places) / 2000 - 0.1) < 0.02


def test_never_none_and_never_all() -> None:
    assert threshold(0.1, lowest=2**63, highest=2**63 + 5) == 2**63 + 1
    assert threshold(0.9, lowest=1, highest=2) == 2
    assert threshold(0.5, lowest=1, highest=2**64 - 1) == 2**63


def test_one_text_is_cut_as_nanogpt_does() -> None:
    text = "x" * 1_115_394
    assert [len(part) for part in split_text(text, 0.1)] == [1_003_854, 111_540]
