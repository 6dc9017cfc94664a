"""Options: what each type accepts, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.options import escape, option, options_of, unescape


@frozen
class Example:
    count: int | None = option(None, 1, 8, "A count.", type=int)
    rate: float = option(0.5, 0, 1, "A rate.", is_open=True)
    memory: int | None = option(None, 1, None, "Memory.", type=int, unit="MB")
    is_fast: bool = option(False, help="Fast.")
    kind: str = option("red", help="A color.", choices=lambda: ("red", "green"))
    label: str | None = option(None, help="Any text.", type=str)
    plain: int = 0  # not an option


OPTIONS = {o.name: o for o in options_of(Example)}


def test_options_follow_the_fields() -> None:
    assert list(OPTIONS) == ["count", "rate", "memory", "is_fast", "kind", "label"]
    assert OPTIONS["count"].type is int
    assert OPTIONS["count"].default is None
    assert OPTIONS["is_fast"].type is bool
    assert Example().rate == 0.5


@pytest.mark.parametrize(
    ("name", "value", "checked"),
    [
        ("count", 8.0, 8),
        ("rate", 1, 1.0),
        ("memory", 10**9, 10**9),
        ("is_fast", True, True),
        ("kind", "green", "green"),
        ("label", "", ""),
    ],
)
def test_a_value_in_range_gets_the_options_type(name: str, value: Any, checked: Any) -> None:
    result = OPTIONS[name].check(value)
    assert result == checked
    assert type(result) is OPTIONS[name].type


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("count", 9, "count must be a whole number between 1 and 8; got 9"),
        ("count", True, "count must be a whole number between 1 and 8; got True"),
        ("count", None, "count must be .* got None"),
        ("rate", 0, "rate must be a number above 0 and at most 1; got 0"),
        ("rate", float("nan"), "got nan"),
        ("memory", 0, "memory must be a whole number of MB at least 1; got 0"),
        ("is_fast", 1, "is_fast must be true or false; got 1"),
        ("kind", "gren", r"kind `gren`; expected one of green, red \(closest: green\)"),
        ("kind", 3, "kind must be one of red, green; got 3"),
        ("label", 3, "label must be a text; got 3"),
    ],
)
def test_a_value_out_of_range_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        OPTIONS[name].check(value)


@pytest.mark.parametrize("text", ["", "\n", "a\tb", "\\n", "\\", "\r\n\\\\n"])
def test_an_escaped_text_reads_back(text: str) -> None:
    assert "\n" not in escape(text)
    assert unescape(escape(text)) == text
