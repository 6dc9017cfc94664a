"""The examples of docs/layers.md and docs/read-the-model.md run, and print what the pages say."""

from __future__ import annotations

import contextlib
import io
import re

import pytest
import torch

from tests.support.tree import ROOT, SOURCE

LAYERS, READING = ROOT / "docs" / "layers.md", ROOT / "docs" / "read-the-model.md"


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every fenced block, in order."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_layer_examples_run_and_print_their_comments(capsys: pytest.CaptureFixture[str]) -> None:
    namespace: dict[str, object] = {}
    code = [block for language, block in blocks(LAYERS.read_text("utf-8")) if language == "python"]
    for block in code:
        exec(block, namespace)
        expected = re.findall(r"^ *print\(.*?\)  # (.*)$", block, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected
    assert len(code) > 20


def test_every_layer_is_shown_in_at_most_three_lines_beside_imports() -> None:
    text = LAYERS.read_text("utf-8")
    is_layer = re.compile(r"^class \w+\((nn\.Module|Tapped|Projections|RecurrentLayer)\)", re.MULTILINE)
    files = [path for path in (SOURCE / "layers").rglob("*.py") if is_layer.search(path.read_text("utf-8"))]
    modules = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in files]
    shared = {"layers.taps", "layers.attention.projections", "layers.recurrence.__init__"}  # base classes
    assert [m for m in modules if m not in shared and f"zeropoint.{m} import" not in text] == []
    for language, block in blocks(text):
        lines = [line for line in block.splitlines() if line and "import" not in line]
        assert language != "python" or "try:" in block or len(lines) <= 3, block


def test_reading_order_example_prints_the_numbers_on_the_page() -> None:
    """Each Python block runs after the ones before it; the text block that follows shows its output."""
    namespace: dict[str, object] = {}
    pending, n_outputs = "", 0
    torch.set_printoptions()
    for language, block in blocks(READING.read_text("utf-8")):
        if language == "python":
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(block, namespace)
            pending = output.getvalue()
        elif language == "text":
            assert block.rstrip() == pending.rstrip()
            n_outputs += 1
    assert n_outputs >= 8


def test_reading_order_names_existing_files() -> None:
    text = READING.read_text("utf-8")
    names = re.findall(r"`((?:layers|models|learn)/[\w/]+\.py)`", text)
    assert names
    assert [name for name in names if not (SOURCE / name).is_file()] == []
