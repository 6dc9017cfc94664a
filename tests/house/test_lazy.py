"""Modules load only when needed: help is instant, and a chat never loads torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = [
    "numpy",
    "rich",
    "jinja2",
    "tokenizers",
    "huggingface_hub",
    "prompt_toolkit",
    "torch",
    "zeropoint._native",
]
LISTING = "import sys\ntry:\n    {}\nfinally:\n    print(*sorted(sys.modules), file=sys.stderr)"


def loaded(code: str) -> set[str]:
    """The modules loaded in a fresh interpreter after it runs a piece of Python."""
    run = subprocess.run(
        [sys.executable, "-c", LISTING.format(code)], capture_output=True, text=True, timeout=60, check=False
    )
    return set(run.stderr.split())


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["-h"], []], ids=" ".join)
def test_help_loads_nothing_heavy(argv: list[str]) -> None:
    modules = loaded(f"from zeropoint.cli.app import main; main({argv!r})")
    assert "click" in modules
    assert [name for name in HEAVY if name in modules] == []


@pytest.mark.parametrize("command", ["chat", "plan", "models"])
def test_help_of_a_command_loads_no_engine(command: str) -> None:
    modules = loaded(f"from zeropoint.cli.app import main; main([{command!r}, '--help'])")
    assert f"zeropoint.cli.commands.{command}" in modules
    assert [name for name in HEAVY if name in modules] == []


def test_the_package_itself_loads_nothing() -> None:
    modules = loaded(
        "import zeropoint; zeropoint.__version__; assert dir(zeropoint) == sorted(zeropoint.__all__)"
    )
    assert {name for name in modules if name.startswith("zeropoint.")} == set()


def test_every_public_name_is_there(tmp_path: Path) -> None:
    modules = loaded(
        "import zeropoint; [getattr(zeropoint, name) for name in zeropoint.__all__]; zeropoint.load"
    )
    assert "zeropoint._native" in modules
    assert "torch" not in modules


@pytest.mark.parametrize("ask", ["generate('abc', temperature=0)", "chat('abc', temperature=0.5, seed=1)"])
def test_an_answer_needs_no_numpy(ask: str, tiny_path: Path) -> None:
    modules = loaded(f"import zeropoint; zeropoint.load({str(tiny_path)!r}).{ask}.text()")
    assert "tokenizers" in modules
    assert [name for name in ("numpy", "rich", "jinja2", "huggingface_hub") if name in modules] == []
    assert ("subprocess" in modules) is ask.startswith("chat")  # the template's worker
    assert [name for name in ("ctypes", "difflib", "zeropoint.files.atomic_write") if name in modules] == []


_WRITTEN = """
import zeropoint, sys
zeropoint.load({path!r}).generate('abc', temperature=0).text()
for name, module in sorted(sys.modules.items()):
    for one in vars(module).values() if name.startswith('zeropoint') else ():
        code = getattr(vars(one).get('__init__'), '__code__', None) if isinstance(one, type) else None
        if code is not None and code.co_filename == '<string>':
            print(one.__module__, one.__name__)
"""


def test_an_answer_compiles_no_classes(tiny_path: Path) -> None:
    code = _WRITTEN.format(path=str(tiny_path))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == ""  # a class printed here should use `@frozen` instead of `@dataclass`
