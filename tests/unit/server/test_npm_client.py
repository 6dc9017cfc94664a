"""OpenAI's JavaScript client against the server, if node and the package are there.

npm install openai
ZEROPOINT_NODE_MODULES=$PWD/node_modules pytest tests/unit/server/test_npm_client.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.server.conftest import Running

MODULES = os.environ.get("ZEROPOINT_NODE_MODULES", "")
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(NODE is None or not MODULES, reason="needs node and ZEROPOINT_NODE_MODULES"),
]


def test_the_javascript_client_gets_what_it_expects(server: Running) -> None:
    pytest.importorskip("llguidance")
    script = Path(__file__).with_name("openai_client.cjs")
    done = subprocess.run(
        [str(NODE), str(script), f"{server.url}/v1"],
        env={**os.environ, "NODE_PATH": MODULES},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["text"] == found["streamed"] == found["helper"]
    assert found["usage"]["completion_tokens"] == 12
    assert found["response"]
    assert (found["first"], found["last"]) == ("response.created", "response.incomplete")
    assert found["vectors"] == [64, 64]
    assert isinstance(found["parsed"]["ok"], bool)
    assert found["error"] == [404, "model_not_found"]
    assert found["models"] == ["tiny"]
