"""`zeropoint chat --url`."""

from __future__ import annotations

from tests.support.scripted_server import Scripted, events
from tests.unit.cli.conftest import Run


def test_the_answer_of_a_server_is_printed(run: Run) -> None:
    server = Scripted()
    try:
        server.body = events({"content": "forty-two"})
        assert run("chat", "--url", server.url, "what?").out == "forty-two\n"
    finally:
        server.close()


def test_options_of_a_server_need_one(run: Run) -> None:
    refused = run("chat", "--prices", "1,2", "what?")
    assert refused.code == 2
    assert "only apply to --url" in refused.err
    assert "expected two numbers" in run("chat", "--url", "http://127.0.0.1:9", "--prices", "x", "y").err
