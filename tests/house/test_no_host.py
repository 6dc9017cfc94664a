"""The repository names no package index by address and no path of a particular machine."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.tree import ROOT, tracked_files

_HOSTS = re.compile(r"pypi\.org|pythonhosted\.org|debian\.org|download\.pytorch|/opt/")
_PATHS = re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users/\w+)/\w")


def test_no_registry_and_no_machine() -> None:
    found = []
    for path in set(tracked_files()) - {Path(__file__)}:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            if _HOSTS.search(line) or _PATHS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:100]}")
    assert sorted(found) == []
