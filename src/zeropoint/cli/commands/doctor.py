"""Show what zeropoint detects on this machine, for a bug report.

Attach the output to a bug report.
"""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import click

from zeropoint.cli import help_page, options
from zeropoint.cli.console import Console

GROUP = "Check"
_EXAMPLES = """\b
Examples:
  zeropoint doctor
  zeropoint doctor --json > machine.json
"""
_PACKAGES = ("numpy", "tokenizers", "jinja2", "huggingface_hub", "click", "rich")


@click.command("doctor", cls=help_page.Command, epilog=_EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, as_json: bool) -> None:
    """Show the processor, the code chosen for it (kernels), memory speed, folders and versions."""
    facts = _facts()
    if as_json:
        console.json(facts)
        return
    console.table(
        ("property", "value"),
        [(_label(name), _display(name, value)) for name, value in facts.items()],
    )


def _facts() -> dict[str, Any]:
    import zeropoint
    from zeropoint.catalogue import cache
    from zeropoint.engine.machine import available_memory_bytes, default_threads, machine
    from zeropoint.planning.roofline import bandwidth_bytes_s

    settings = options.read({})
    hardware = machine()
    threads = settings.get("threads").value or default_threads()
    isa = settings.get("isa").value
    return {
        "zeropoint": zeropoint.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": hardware["cpu"],
        "processor_features": hardware["features"],
        "instruction_sets": hardware["isas"],
        "instruction_set": isa if isa not in (None, "auto") else hardware["isas"][0],
        "usable_cores": hardware["processors"],
        "threads": threads,
        "memory_bandwidth_bytes_per_second": bandwidth_bytes_s(threads),
        "free_memory_bytes": available_memory_bytes(),
        "models_folder": str(cache.home(settings)),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _label(name: str) -> str:
    """A key as a table shows it, without the unit, which stands next to the value."""
    return name.removesuffix("_per_second").removesuffix("_bytes").replace("_", " ")


def _display(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    if name.endswith("_bytes_per_second"):
        return f"{value / 1e9:.1f} GB/s"
    if name.endswith("_bytes"):
        return "unknown" if value is None else f"{value / 1e9:.1f} GB"
    return str(value)
