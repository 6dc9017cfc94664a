"""Writes what the documentation derives from the program: `python docs/generate.py`.

docs/commands/*.md come whole from the commands (docstrings, options, examples); in the pages written by
hand, the lines between `<!-- begin NAME -->` and `<!-- end NAME -->` do. A test compares them with this.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from zeropoint import formats, registry
from zeropoint.catalogue import catalog, datasets
from zeropoint.cli import help_page
from zeropoint.cli.app import cli, command_groups
from zeropoint.cli.options import DEFAULTS
from zeropoint.engine_options import ENGINE_OPTIONS
from zeropoint.options import MAX_INT, Option, options_of
from zeropoint.sampling.params import options as sampling_options
from zeropoint.settings import KEYS
from zeropoint.train.config import config, recipes

DOCS = Path(__file__).parent
_COMMANDS = "zeropoint.cli.commands"
_NOTE = "<!-- Written by docs/generate.py from the command itself; edit that and run it again. -->"
_MARKED = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every page that is generated, whole or in part, as it should be."""
    root = _context(cli, "zeropoint", None)
    found = {DOCS / "commands" / "zeropoint.md": _page(cli, root, "")}
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        if command is not None:
            found[DOCS / "commands" / f"{name}.md"] = _page(
                command, _context(command, name, root), _prose(name)
            )
    for path in [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]:
        text = path.read_text("utf-8")
        if _MARKED.search(text):
            found[path] = _MARKED.sub(lambda part: f"{part[1]}{_TABLES[part[2]]()}\n{part[3]}", text)
    return found


def _page(command: click.Command, context: click.Context, prose: str) -> str:
    parts = [f"# {context.command_path}", _NOTE, *_body(command, context)]
    parts.insert(3, prose)
    if isinstance(command, click.Group) and command is not cli:
        for name, sub in sorted(command.commands.items()):
            below = _context(sub, name, context)
            parts += [f"## {below.command_path}", *_body(sub, below)]
    if command is not cli:
        parts.append("Every command also takes [the common options](zeropoint.md).")
    parts.append(_examples(command.epilog or ""))
    return "\n\n".join(part for part in parts if part) + "\n"


def _body(command: click.Command, context: click.Context) -> Iterator[str]:
    """What it does, how it is called, what it takes."""
    yield _reflowed(command.help or "")
    yield f"```text\n{' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n```"
    if command is cli:
        for title, commands in command_groups().items():
            rows = [(f"[{name}]({name}.md)", summary) for name, summary in commands]
            yield _table((title.lower(), "what it does"), rows)
    for title, options in help_page.grouped_options(command, context).items():
        if command is cli or title != help_page.EVERY_COMMAND:
            heading = "option" if title == help_page.EVERYDAY else title.lower()
            yield _table((heading, "environment", "meaning"), [_row(option, context) for option in options])


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent, info_name=name, **command.context_settings)


def _row(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    """Option, environment variable and meaning."""
    names, help = help_page.help_record(option, context)
    variable = option.variable if isinstance(option, help_page.Option) else None
    return f"`{names}`", f"`{variable}`" if variable else "", help


def _examples(epilog: str) -> str:
    """The examples of a help text as a code block, and what else the epilog says."""
    listed, prose = [], []
    for paragraph in epilog.replace("\b\n", "").split("\n\n"):
        lines = paragraph.strip().splitlines()
        if lines and lines[0].startswith("Examples"):
            listed += [re.sub(r"(?<=\S)(  +)(?=\S)", r"\1# ", line.strip()) for line in lines[1:]]
        elif lines:
            prose.append(" ".join(line.strip() for line in lines))
    code = "## Examples\n\n```sh\n" + "\n".join(listed) + "\n```" if listed else ""
    return "\n\n".join(part for part in (code, *prose) if part)


def _prose(name: str) -> str:
    """The docstring of a command's file after its first line, which is the short help."""
    path = registry.source(_COMMANDS, name.replace("-", "_"))
    docstring = ast.get_docstring(ast.parse(path.read_bytes())) if path else None
    return _reflowed((docstring or "").partition("\n")[2].strip())


def _reflowed(text: str) -> str:
    paragraphs = [" ".join(part.split()) for part in text.replace("\b", "").split("\n\n")]
    return "\n\n".join(part for part in paragraphs if part)


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _sampling_table() -> str:
    def shown(value: Any) -> str:
        return "on" if value is True else "-" if value in (None, ()) else f"{value:g}"

    rows = [
        (f"`{o.name}`", o.range(), shown(DEFAULTS.get(o.name, o.default)), shown(o.default), o.help)
        for o in sampling_options()
    ]
    return _table(("name", "allowed", "default", "no effect", "meaning"), rows)


def _settings_table() -> str:
    rows = [(f"`{key.name}`", key.option.range(), f"`{key.env}`", key.option.help) for key in KEYS]
    return _table(("key", "allowed", "environment", "meaning"), rows)


def _engine_options_table() -> str:
    rows = [(f"`{option.name}`", option.range(), option.help) for option in ENGINE_OPTIONS]
    return _table(("option", "allowed", "meaning"), rows)


def _size(entry: catalog.CatalogEntry) -> str:
    return "" if entry.n_bytes is None else f"{entry.n_bytes / 1e6:.1f} MB"


def _catalogue_table() -> str:
    rows = []
    for entry in catalog.load().values():
        aliases = ", ".join(f"`{alias}`" for alias in entry.aliases)
        rows.append((f"`{entry.name}`", aliases, _size(entry), entry.licence, entry.description))
    return _table(("name", "also", "size", "licence", "what it is"), rows)


def _data_table() -> str:
    rows = [
        (f"`{data.name}`", f"{data.n_bytes / 1e6:.2f} MB", data.licence, data.description)
        for data in datasets.load().values()
    ]
    return _table(("name", "size", "licence", "what it is"), rows)


def _presets_table() -> str:
    """Each recipe with what the comment at its head says."""
    rows = []
    for name in recipes.recipes():
        text = recipes.recipe_text(name)
        head = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
        rows.append((f"`{name}`", " ".join(line.lstrip("# ") for line in head)))
    return _table(("preset", "what it is"), rows)


def _run_settings_tables() -> str:
    """One table per section of a training configuration, one row per key."""
    return "\n\n".join(_section_tables())


def _section_tables() -> Iterator[str]:
    for section in dataclasses.fields(config.RunConfig):
        for kind, cls in config.section_classes(section.name).items():
            title = f'`[{section.name}]`, `kind = "{kind}"`' if kind else f"`[{section.name}]`"
            yield f"**{title}**: {(cls.__doc__ or '').partition(chr(10))[0]}"
            rows = [
                (f"`{option.name}`", _default(option), _range(option), option.help)
                for option in options_of(cls)
            ]
            if rows:
                yield _table(("key", "default", "range", "meaning"), rows)


def _default(option: Option) -> str:
    value = list(option.default) if isinstance(option.default, tuple) else option.default
    return f"`{json.dumps(value)}`"


def _range(option: Option) -> str:
    """The allowed values in a few characters: "≥ 0, < 1", or the choices."""
    if choices := option.allowed():
        return ", ".join(f"`{choice}`" for choice in choices)
    if option.type in (bool, str):
        return "`true`, `false`" if option.type is bool else ""
    parts = []
    if option.minimum is not None:
        parts.append(f"{'>' if option.is_open else '≥'} {option.minimum}")
    if option.maximum is not None and option.maximum != MAX_INT:
        parts.append(f"{'<' if option.is_open_above else '≤'} {option.maximum}")
    return ", ".join(parts)


def _formats_table() -> str:
    rows = []
    for name in formats.names():
        block = formats.get(name)
        bits = 8 * block.BLOCK_BYTES / block.BLOCK_WEIGHTS
        rows.append((f"`{name}`", f"{bits:g}", f"{block.BLOCK_WEIGHTS}", _summary(block)))
    return _table(("format", "bits per weight", "weights per block", "description"), rows)


def _families_table() -> str:
    package = "zeropoint.families"
    names = registry.names(package)
    return _table(
        ("architecture", "description"), [(f"`{n}`", _summary(registry.load(package, n))) for n in names]
    )


def _summary(module: ModuleType) -> str:
    """The first sentence of a module's docstring."""
    return " ".join((module.__doc__ or "").split("\n\n")[0].split())


def _performance_tables() -> str:
    return str(_render_results().performance_tables())


def _headline() -> str:
    return str(_render_results().headline_table())


def _render_results() -> ModuleType:
    return load_script(DOCS.parent / "benches" / "render_results.py")


def _commands_table() -> str:
    """One table for each group of commands."""
    return "\n\n".join(
        _table(
            (title, "what it does"),
            [(f"[`zeropoint {name}`](docs/commands/{name}.md)", summary) for name, summary in commands],
        )
        for title, commands in command_groups().items()
    )


def _command_pages() -> str:
    """A list item for each group of commands."""
    return "\n".join(
        f"- **{title}**: {', '.join(f'[{name}](commands/{name}.md)' for name, _ in commands)}"
        for title, commands in command_groups().items()
    )


def load_script(path: Path) -> ModuleType:
    """Import a script that belongs to no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


_TABLES = {
    "command_pages": _command_pages,
    "commands": _commands_table,
    "families": _families_table,
    "formats": _formats_table,
    "headline": _headline,
    "performance": _performance_tables,
    "sampling": _sampling_table,
    "settings": _settings_table,
    "engine_options": _engine_options_table,
    "catalogue": _catalogue_table,
    "data": _data_table,
    "presets": _presets_table,
    "run_settings": _run_settings_tables,
}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
