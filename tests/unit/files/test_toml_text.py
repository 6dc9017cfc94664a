from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.files.toml_text import MAX_TOML_BYTES, parse_toml, read_toml


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x" + ".x" * 20_000 + " = 1", "more than 32 parts (at line 1)"),
        ('a = 1\n"x"' + ' . "x"' * 20_000 + " = 1", "more than 32 parts (at line 2)"),
        ("[x" + ".'x'" * 20_000 + "]", "more than 32 parts"),
        ("a = { b" + ".b" * 20_000 + " = 1 }", "more than 32 parts"),
        ("a = '''\n'''\nx" + ".x" * 40 + " = 1", "more than 32 parts (at line 3)"),
        ("k" * 1000 + " = 1", "more than 256 characters"),
        ("a = 0x" + "f" * 5000, "more than 256 characters"),
        ("a = " + "[" * 20_000, "nested deeper than 32"),
        ("a = " + "{a = " * 20_000, "nested deeper than 32"),
        ("\n".join(f"a{i} = 1" for i in range(60_000)), "more than 100,000 keys and values"),
        ("\n".join(f"[a{i}.b.c.d]" for i in range(30_000)), "more than 100,000 keys and values"),
        ('a = "' + '\\"' * 400_000, "Unterminated string"),
        ("#" * MAX_TOML_BYTES + "#", "is larger than 1,048,576 bytes"),
        ('a = """' + '\\"""' * 100_000, "Unterminated string"),
        (b"a = '\xff'", "is not UTF-8 (byte 5)"),
        ("\ufeffa = 1".encode("utf-16"), "is not UTF-8 (byte 0)"),
    ],
)
def test_toml_beyond_a_bound_is_refused_by_name(text: str | bytes, problem: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_toml(text, "x.toml")
    assert str(error.value).startswith("x.toml ")
    assert problem in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a = '" + "x.y." * 100 + "'", "x.y." * 100),
        ('a = """\n' + "[{x.y." * 100 + '""""', "[{x.y." * 100 + '"'),
        ("a = '''" + "[[[" * 20 + "'''", "[[[" * 20),
        ("a = 1 # " + "x.y[" * 100, 1),
        ("a = [" + "[1], " * 1000 + "]", [[1]] * 1000),
        ('a = "\\"[[["', '"[[['),
    ],
)
def test_text_within_strings_and_comments_does_not_count(text: str, value: object) -> None:
    assert parse_toml(text, "x.toml") == {"a": value}


def test_a_file_saved_by_notepad_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b'\xef\xbb\xbf[model]\r\nfamily = "gpt2"\r\n')
    assert read_toml(path) == {"model": {"family": "gpt2"}}
