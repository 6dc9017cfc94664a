from __future__ import annotations

import pytest

from zeropoint.files.json_text import parse_json


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 500 + "]" * 500, "nested too deeply"),
        ('{"a":' * 101 + "{}" + "}" * 101, "nested too deeply"),
        ('{"a": 1, "a": 2}', "the key a occurs twice"),
        ('{"\\ud800": 1}', "surrogates not allowed"),
        ("9" * 101, "a number has 101 digits"),
        ("-1e999", "-1e999 is too large a number"),
        ("[NaN]", "NaN is not a JSON number"),
        (b'"\xff"', "byte 1 is not valid UTF-8"),
        ("", "Expecting value"),
    ],
)
def test_json_beyond_a_bound_is_refused(text: str | bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_json(text)


def test_usual_json_is_read() -> None:
    assert parse_json('\ufeff{"a": [1, 2.5, null, "x"], "b": {}}'.encode()) == {
        "a": [1, 2.5, None, "x"],
        "b": {},
    }
    assert parse_json(str(10**30)) == 10**30  # model_max_length of many tokenizer_config.json files
    assert parse_json("[" * 99 + "]" * 99)
