"""A text stream yields the same text as decoding all tokens at once, up to a stop string."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.stream import TextStream


def push_all(stream: TextStream, ids: list[int]) -> list[str]:
    return [*(stream.push(index) for index in ids), stream.finish()]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), skip=st.booleans(), is_continuation=st.booleans())
def test_random_ids_decode_as_at_once(
    tiny: Any, tiny_llama: Any, data: st.DataObject, skip: bool, is_continuation: bool
) -> None:
    tokenizer = data.draw(st.sampled_from([tiny, tiny_llama]))
    ids = data.draw(st.lists(st.integers(0, tokenizer.n_vocab - 1), max_size=40))
    pieces = push_all(TextStream(tokenizer, skip_special_tokens=skip, is_continuation=is_continuation), ids)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=skip, is_continuation=is_continuation)


@pytest.mark.heavy
@settings(max_examples=150, deadline=None)
@given(text=st.text(), stop=st.lists(st.text(alphabet="abé😀 ", min_size=1, max_size=4), max_size=4))
def test_text_ends_before_the_first_stop_string(tiny: Any, text: str, stop: list[str]) -> None:
    """The text ends where the stop string that completes first begins."""
    stream = TextStream(tiny, stop)
    out = "".join(push_all(stream, tiny.encode(text)))
    ends = sorted((text.find(s) + len(s), text.find(s)) for s in stop if s in text)
    assert out == (text[: ends[0][1]] if ends else text)
    assert stream.stopped == bool(ends)


@settings(max_examples=80, deadline=None)
@given(text=st.text(alphabet="ab", max_size=60), stop=st.text(alphabet="ab", min_size=1, max_size=6))
def test_self_overlapping_stop_strings_are_found(tiny: Any, text: str, stop: str) -> None:
    out = "".join(push_all(TextStream(tiny, [stop]), tiny.encode(text)))
    assert out == text.split(stop)[0]


def test_characters_are_complete_or_replaced(tiny: Any) -> None:
    ids = tiny.encode("😀")
    stream = TextStream(tiny)
    assert [stream.push(index) for index in ids] == ["", "", "", "😀"]
    assert stream.finish() == ""
    assert push_all(TextStream(tiny), ids[:2]) == ["", "", "\ufffd"]
    letter_id = tiny.encode("a")[0]
    assert push_all(TextStream(tiny), [ids[0], letter_id]) == ["", "\ufffda", ""]
    assert push_all(TextStream(tiny), [ids[1]]) == [
        "\ufffd",
        "",
    ]  # a continuation byte cannot begin a character


def test_only_a_possible_stop_string_is_buffered(tiny: Any) -> None:
    stream = TextStream(tiny, ["orb", "END"])
    pieces = [stream.push(index) for index in tiny.encode(" world EN")]
    assert "".join(pieces) == " world "
    assert stream.finish() == "EN"


def test_a_stopped_stream_returns_no_text(tiny: Any) -> None:
    stream = TextStream(tiny, ["lo"])
    hello = tiny.encode("hello")
    assert len(hello) == 1
    assert stream.push(hello[0]) == "hel"
    assert stream.stopped
    assert (stream.push(hello[0]), stream.finish()) == ("", "")


def test_a_single_string_is_one_stop_string(tiny: Any) -> None:
    stream = TextStream(tiny, "xy")
    assert stream.push(tiny.encode("x")[0]) == ""
    assert stream.finish() == "x"


@pytest.mark.parametrize("stop", [[""], [3], ["\ud800"]])
def test_invalid_stop_strings_are_rejected(tiny: Any, stop: list[Any]) -> None:
    with pytest.raises(BadInput, match="stop string"):
        TextStream(tiny, stop)


@pytest.mark.parametrize("index", [-1, 10**6, 1.5, 4.0, "1", None, [1]])
def test_invalid_ids_are_rejected(tiny: Any, index: Any) -> None:
    with pytest.raises(BadInput, match="token id"):
        TextStream(tiny).push(index)
    with pytest.raises(BadInput, match="token id"):
        tiny.decode([index])


def test_the_buffer_does_not_grow_with_the_text(tiny: Any) -> None:
    """The buffer is bounded by the longest stop string."""
    stream = TextStream(tiny, ["a" * 50 + "b"])
    for index in tiny.encode("a") * 5000:
        stream.push(index)
    assert len(stream._buffer) == 50
