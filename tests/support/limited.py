"""Run Python with little memory, so that a test of a bomb fails instead of filling the machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_limited(
    arguments: Sequence[str],
    *,
    max_bytes: int = 4 << 30,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` with at most max_bytes of address space and without input.

    environ: variables that replace those of this process, or remove them if empty.
    """
    variables = {**os.environ, **(environ or {})}
    return subprocess.run(
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout_s,
        cwd=folder,
        env={name: value for name, value in variables.items() if value != ""},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes)),
    )
