"""A stream of tokens gives the text that decoding them all gives, up to a stop string."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.stream import TextStream


def pushed(stream: TextStream, ids: list[int]) -> list[str]:
    return [*(stream.push(index) for index in ids), stream.finish()]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), skip=st.booleans(), inside=st.booleans())
def test_random_ids(tiny: Any, tiny_llama: Any, data: st.DataObject, skip: bool, inside: bool) -> None:
    tokenizer = data.draw(st.sampled_from([tiny, tiny_llama]))
    ids = data.draw(st.lists(st.integers(0, tokenizer.n_vocab - 1), max_size=40))
    pieces = pushed(TextStream(tokenizer, skip_special=skip, inside=inside), ids)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special=skip, inside=inside)


@settings(max_examples=150, deadline=None)
@given(text=st.text(), stop=st.lists(st.text(alphabet="abé😀 ", min_size=1, max_size=4), max_size=4))
def test_text_with_stops(tiny: Any, text: str, stop: list[str]) -> None:
    """The text ends where the first stop string to be complete begins."""
    stream = TextStream(tiny, stop)
    out = "".join(pushed(stream, tiny.encode(text)))
    ends = sorted((text.find(s) + len(s), text.find(s)) for s in stop if s in text)
    assert out == (text[: ends[0][1]] if ends else text)
    assert stream.stopped == bool(ends)


@settings(max_examples=80, deadline=None)
@given(text=st.text(alphabet="ab", max_size=60), stop=st.text(alphabet="ab", min_size=1, max_size=6))
def test_stops_that_overlap_themselves(tiny: Any, text: str, stop: str) -> None:
    out = "".join(pushed(TextStream(tiny, [stop]), tiny.encode(text)))
    assert out == text.split(stop)[0]


def test_no_broken_characters(tiny: Any) -> None:
    ids = tiny.encode("😀")
    stream = TextStream(tiny)
    assert [stream.push(index) for index in ids] == ["", "", "", "😀"]
    assert stream.finish() == ""
    assert pushed(TextStream(tiny), ids[:2]) == ["", "", "\ufffd"]
    letter = tiny.encode("a")[0]
    assert pushed(TextStream(tiny), [ids[0], letter]) == ["", "\ufffda", ""]
    assert pushed(TextStream(tiny), [ids[1]]) == ["\ufffd", ""]  # can never become a character


def test_holds_back_only_what_may_be_a_stop(tiny: Any) -> None:
    stream = TextStream(tiny, ["orb", "END"])
    pieces = [stream.push(index) for index in tiny.encode(" world EN")]
    assert "".join(pieces) == " world "
    assert stream.finish() == "EN"


def test_stopped_stream_stays_silent(tiny: Any) -> None:
    stream = TextStream(tiny, ["lo"])
    hello = tiny.encode("hello")
    assert len(hello) == 1
    assert stream.push(hello[0]) == "hel"
    assert stream.stopped
    assert (stream.push(hello[0]), stream.finish()) == ("", "")


def test_one_string_is_one_stop(tiny: Any) -> None:
    stream = TextStream(tiny, "xy")
    assert stream.push(tiny.encode("x")[0]) == ""
    assert stream.finish() == "x"


@pytest.mark.parametrize("stop", [[""], [3], ["\ud800"]])
def test_bad_stops(tiny: Any, stop: list[Any]) -> None:
    with pytest.raises(BadInput, match="stop string"):
        TextStream(tiny, stop)


@pytest.mark.parametrize("index", [-1, 10**6, 1.5, 4.0, "1", None, [1]])
def test_bad_ids(tiny: Any, index: Any) -> None:
    with pytest.raises(BadInput, match="token id"):
        TextStream(tiny).push(index)
    with pytest.raises(BadInput, match="token id"):
        tiny.decode([index])


def test_work_per_token_does_not_grow(tiny: Any) -> None:
    """What is kept between tokens is bounded by the longest stop string, not by the text."""
    stream = TextStream(tiny, ["a" * 50 + "b"])
    for index in tiny.encode("a") * 5000:
        stream.push(index)
    assert len(stream._held) == 50
