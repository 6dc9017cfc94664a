"""--show-completion and --install-completion."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_show(run: Run, shell: str) -> None:
    assert "_ZEROPOINT_COMPLETE" in run("--show-completion", shell).out


def test_the_shell_in_use_is_taken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_install(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str, file: str) -> None:
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))
    result = run("--install-completion", shell)
    assert (result.code, result.out) == (0, "")
    assert "_ZEROPOINT_COMPLETE" in (tmp_path / file).read_text()
    assert str(tmp_path / file) in result.err


def test_install_where_it_cannot(run: Run, tmp_path: Path) -> None:
    assert run("--install-completion", "powershell").code == 2
    (tmp_path / "fish").write_text("in the way")
    result = run("--install-completion", "fish")
    assert result.code == 1
    assert result.err.startswith("error: cannot write")
