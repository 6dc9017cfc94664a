"""The split into training and validation: by content, or at the end of a single text."""

from __future__ import annotations

from zeropoint.data.split import hash_position, split_text, threshold


def test_a_document_is_assigned_by_its_content() -> None:
    assert hash_position("a story") == hash_position("\n a story ")
    shares = [hash_position(f"story {i}") / 2**64 for i in range(2000)]
    assert abs(sum(share < 0.1 for share in shares) / 2000 - 0.1) < 0.02


def test_each_split_gets_a_document() -> None:
    assert threshold(0.1, lowest=2**63, highest=2**63 + 5) == 2**63 + 1
    assert threshold(0.9, lowest=1, highest=2) == 2
    assert threshold(0.5, lowest=1, highest=2**64 - 1) == 2**63


def test_a_single_text_is_split_like_nanogpt() -> None:
    text = "x" * 1_115_394
    assert [len(part) for part in split_text(text, 0.1)] == [1_003_854, 111_540]
