"""README and pages are correct: examples run, commands exist, links resolve, generated parts are up to
date."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.tree import ROOT, load_script, tracked_files
from zeropoint.cli.app import cli
from zeropoint.errors import TRAIN_PACKAGES

README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benches").glob("*.md")])
BUILD_AND_TALK = "pip install . && zeropoint chat"
INSTALL_AND_TEST = "pip install -c constraints.txt '.[dev]' && pytest -n auto"


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def command_lines(path: Path) -> Iterator[list[str]]:
    """The arguments of `zeropoint` in every shell line of a page, without pipes, redirections and
    comments."""
    for line in "".join(blocks(path, "sh")).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        part: list[str] = []
        for token in [*lexer, "|"]:
            if token not in ("|", "&&", ">", "<"):
                part += [token] if part or not re.fullmatch(r"\w+=.*", token) else []
                continue
            if part[:1] == ["zeropoint"]:
                yield part[1:]
            part = []


def parse(argv: list[str]) -> None:
    """Parse a command line down to its last subcommand without running it; raises if it is invalid."""
    command, context = cli, click.Context(cli, info_name="zeropoint")
    while isinstance(command, click.Group) and argv and not argv[0].startswith("-"):
        name, found, argv = command.resolve_command(context, argv)
        assert found is not None, name
        command, context = found, click.Context(found, context, info_name=name)
    if not isinstance(command, click.Group):
        command.make_context(context.info_name, argv, parent=context.parent)


def test_the_two_commands_that_ci_runs_are_blocks_of_their_own() -> None:
    assert [block.strip() for block in blocks(README, "sh")].count(BUILD_AND_TALK) == 1
    assert [block.strip() for block in blocks(README, "sh")].count(INSTALL_AND_TEST) == 1


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(path: Path) -> None:
    for argv in command_lines(path):
        parse(argv)


def test_an_invalid_command_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\necho hi | zeropoint chat --colour red > x  # no\n```\n", encoding="utf-8")
    assert list(command_lines(page)) == [["chat", "--colour", "red"]]
    with pytest.raises(click.NoSuchOption):
        parse(["chat", "--colour", "red"])


@pytest.mark.parametrize("path", [README, DOCS / "python.md"], ids=lambda path: path.name)
@pytest.mark.usefixtures("smollm2_path")
def test_python_examples_run(path: Path) -> None:
    code = "\n".join(blocks(path, "python"))
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.strip()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8"))
    local = [link.partition("#")[0] for link in links if not link.startswith(("https://", "http://", "#"))]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_generated_pages_are_current_and_each_command_has_one() -> None:
    script = load_script(DOCS / "generate.py")
    pages = script.pages()
    stale = [path.name for path, text in pages.items() if path.read_text("utf-8") != text]
    assert stale == [], "run `python docs/generate.py`"
    assert set(pages) >= set((DOCS / "commands").glob("*.md"))


def test_the_packages_for_training_are_those_of_the_extra() -> None:
    """Pages and messages list them, because installing the extra of a clone compiles the engine again."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = [requirement.partition(">")[0] for requirement in project["optional-dependencies"]["train"]]
    assert sorted(TRAIN_PACKAGES) == sorted(extra)
    for path in (README, DOCS / "train.md", DOCS / "translate.md"):
        assert f"pip install {' '.join(TRAIN_PACKAGES)}\n" in path.read_text("utf-8"), path


def test_no_text_installs_a_package_of_our_name() -> None:
    """The name `zeropoint` on a package index is not ours: installation is from a clone."""
    paths = [path for path in tracked_files() if path.suffix in (".py", ".md", ".html")]
    pattern = re.compile(r"\binstall ['\"]?zeropoint\b")
    assert [path for path in paths if pattern.search(path.read_text("utf-8"))] == []


def test_the_readme_and_the_list_of_pages_name_every_command() -> None:
    text = README.read_text("utf-8")
    pages = (DOCS / "README.md").read_text("utf-8")
    names = cli.list_commands(click.Context(cli))
    assert [name for name in names if f"(docs/commands/{name}.md)" not in text] == []
    assert [name for name in names if f"(commands/{name}.md)" not in pages] == []


def test_the_picture_is_small() -> None:
    assert (DOCS / "images" / "chat.svg").stat().st_size < 200_000
