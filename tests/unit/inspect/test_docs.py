"""The Python examples of docs/inspect.md run on the default model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.tree import ROOT

PAGE = ROOT / "docs" / "inspect.md"


def test_python_examples_run(smollm2_path: Path) -> None:
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL))
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("(5, 576)\n(1, 5, 64)\n")
