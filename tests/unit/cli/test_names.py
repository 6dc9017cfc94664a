"""What Tab completes: commands, models, runs, presets, programs, formats, data sets, values of settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from zeropoint.cli.app import cli


def complete(line: str) -> list[str]:
    """The completions of a command line, whose last word is incomplete."""
    *words, incomplete = line.split(" ")[1:]
    items = ShellComplete(cli, {}, "zeropoint", "_ZEROPOINT_COMPLETE").get_completions(words, incomplete)
    return [item.value if item.type == "plain" else f"{item.type}:{item.value}" for item in items]


@pytest.fixture
def runs() -> None:
    """Two training runs in runs/, and a folder that is none."""
    for name in ("harbour", "mine"):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "run.json").write_text("{}")
    (Path("runs") / "half").mkdir()


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("zeropoint l", ["ladder", "list", "ls"]),
        ("zeropoint p", ["plan", "ps", "pull"]),
        ("zeropoint h", ["help"]),
        ("zeropoint help cha", ["chat"]),
        ("zeropoint help models p", ["pull"]),
        ("zeropoint help chat ", []),
        ("zeropoint chat -m har", ["harbour"]),
        ("zeropoint chat -m smollm2:", ["smollm2:135m", "smollm2:135m-instruct"]),
        ("zeropoint chat -m ./mo", ["file:./mo"]),
        ("zeropoint chat -m runs/h", ["file:runs/h"]),
        ("zeropoint run har", ["harbour"]),
        ("zeropoint rm smollm2:1", ["smollm2:135m", "smollm2:135m-instruct"]),
        ("zeropoint plan har", ["harbour"]),
        ("zeropoint compare mine", ["mine"]),
        ("zeropoint export ", ["harbour", "mine"]),
        ("zeropoint translate mi", ["mine"]),
        ("zeropoint train har", ["harbour"]),
        ("zeropoint train multi30k-", ["multi30k-article"]),
        ("zeropoint scaling scal", ["scaling"]),
        ("zeropoint trace ", ["handmade:aab", "handmade:brackets", "handmade:previous"]),
        ("zeropoint trace handmade:p", ["handmade:previous"]),
        ("zeropoint ladder b", ["build-gpt"]),
        ("zeropoint convert a b --to q8", ["q8_0"]),
        ("zeropoint convert a b --to Q4", ["Q4_0", "Q4_1", "Q4_K"]),
        ("zeropoint export r --to BF", ["BF16"]),
        ("zeropoint bench --formats q8_0,q6", ["q8_0,q6_k"]),
        ("zeropoint data pull shake", ["shakespeare"]),
        ("zeropoint data prepare ./te", ["file:./te"]),
        ("zeropoint chat --template ll", ["llama2", "llama3"]),
        ("zeropoint chat --cache-type in", ["int16", "int8"]),
        ("zeropoint chat --isa sc", ["scalar"]),
    ],
)
def test_tab_completes_names(line: str, expected: list[str]) -> None:
    assert complete(line) == expected


def test_every_command_completes_with_its_summary() -> None:
    items = cli.shell_complete(cli.make_context("zeropoint", []), "")
    assert all(item.help for item in items)


def test_tab_says_nothing_about_a_broken_settings_file() -> None:
    Path("zeropoint.toml").write_text("= 1")
    assert complete("zeropoint chat -m smol") == []


def test_completion_reads_no_model_asks_no_network_and_stays_light() -> None:
    Path("m.gguf").symlink_to("/dev/zero")
    heavy = ("torch", "numpy", "huggingface_hub", "jinja2", "rich")
    program = (
        "import sys, socket\n"
        "socket.socket.connect = None\n"
        "from tests.unit.cli.test_names import complete\n"
        "for words in ('', 'chat -m ', 'train ', 'scaling ', 'trace ', 'export ', 'data pull '):\n"
        "    complete('zeropoint ' + words)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
