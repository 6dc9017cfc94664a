"""Shell completion: --show-completion, --install-completion, and bash with colons in model names."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_show_prints_a_script(run: Run, shell: str) -> None:
    assert "_ZEROPOINT_COMPLETE" in run("--show-completion", shell).out


def test_the_current_shell_is_the_default(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run("--show-completion").out == run("--show-completion", "fish").out
    monkeypatch.delenv("SHELL")
    assert run("--show-completion").code == 2


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", "bash-completion/completions/zeropoint"),
        ("fish", "fish/completions/zeropoint.fish"),
        ("zsh", ".zfunc/_zeropoint"),
    ],
)
def test_install_writes_the_script(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str, file: str
) -> None:
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))
    result = run("--install-completion", shell)
    assert (result.code, result.out) == (0, "")
    assert "_ZEROPOINT_COMPLETE" in (tmp_path / file).read_text()
    assert str(tmp_path / file) in result.err


def test_install_reports_what_it_cannot_do(run: Run, tmp_path: Path) -> None:
    assert run("--install-completion", "powershell").code == 2
    (tmp_path / "fish").write_text("in the way")
    result = run("--install-completion", "fish")
    assert result.code == 1
    assert result.err.startswith("error: cannot use")


# Complete a line as bash does: set COMP_LINE and COMP_POINT, then call the completion function.
_COMPLETE = """
eval "$(zeropoint --show-completion bash)"
complete -p zeropoint >/dev/null || exit 9
COMP_LINE=$1 COMP_POINT=${2:-${#1}}
_zeropoint_completion zeropoint
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "point", "expected"),
    [
        ("zeropoint chat -m smol", None, {"smollm2:135m"}),
        ("zeropoint chat -m smollm2:", None, {"135m"}),
        ("zeropoint chat -m smollm2:1", None, {"135m"}),
        ("zeropoint chat --model=smollm2:1", None, {"135m"}),
        ("zeropoint chat --model 'smollm2:1", None, {"smollm2:135m"}),
        ("zeropoint chat -m smollm2:1 later", "27", {"135m"}),
        ("zeropoint ver", None, {"verify"}),
        ("zeropoint chat --exa", None, {"--exact"}),
    ],
)
def test_bash_completes_model_names_with_colons(
    tmp_path: Path, line: str, point: str | None, expected: set[str]
) -> None:
    program = tmp_path / "bin" / "zeropoint"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zeropoint "$@"\n')
    program.chmod(0o755)
    script = f"PATH={shlex.quote(str(program.parent))}:$PATH\n{_COMPLETE}"
    bash = ["bash", "--norc", "-c", script, "-", line, point or ""]
    done = subprocess.run(bash, capture_output=True, text=True, check=True)
    assert expected <= set(done.stdout.split())
    assert all(word.startswith(min(expected)[:1]) for word in done.stdout.split())
