"""The programs of one comparison: a worker for each, and the settings to try with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sides import SideOptions
from worker import Worker

__all__ = ["LLAMA_CPP", "OTHERS", "OURS", "Contestant", "is_installed", "llama_cpp", "open_peer", "zeropoint"]

OURS, LLAMA_CPP = "zeropoint", "llama_cpp"
# The module that a side imports; a side whose module is not installed does not take part.
OTHERS = {
    "ik_llama_cpp": "ik_llama_cpp",
    "mistral_rs": "mistralrs",
    "openvino": "openvino_genai",
    "ctranslate2": "ctranslate2",
    "transformers": "transformers",
}


@dataclass(frozen=True)
class Contestant:
    """One row of results. settings: passed to the worker's `configure` before each measurement."""

    name: str
    worker: Worker
    settings: Mapping[str, bool] = field(default_factory=dict)
    kinds: tuple[str, ...] = ("prefill", "decode", "together")  # measurements that it supports


def zeropoint(options: SideOptions) -> Contestant:
    """Our engine, limited to the instruction set of the options."""
    return Contestant(OURS, Worker(OURS, options))


def llama_cpp(options: SideOptions, python: str) -> list[Contestant]:
    """llama.cpp in its four configurations; two share a process and its copy of the weights.

    Repacked weights are faster for some formats and processors, and the tiled products that K-quants use
    without repacking for others; flash attention wins with long contexts, mostly.
    """
    contestants = []
    for repacks in (True, False):
        worker = Worker(LLAMA_CPP, replace(options, repacks=repacks), python)
        name = f"llama.cpp, {'repacking' if repacks else 'no repacking'}"
        contestants += [
            Contestant(name + (", flash attention" if flash else ""), worker, {"flash": flash})
            for flash in (False, True)
        ]
    return contestants


def open_peer(side: str, options: SideOptions, python: str) -> list[Contestant]:
    """The contestants of one side; none, with a note, if its program cannot open the model."""
    if side == LLAMA_CPP:
        return llama_cpp(options, python)
    try:
        worker = Worker(side, options, python)
    except SystemExit:
        print(f"{side} cannot open {options.model} and does not take part", file=sys.stderr)
        return []
    return [Contestant(worker.about["name"], worker, kinds=tuple(worker.about["kinds"]))]


def is_installed(side: str, python: str) -> bool:
    """Whether an interpreter has the program of a side."""
    module = LLAMA_CPP if side == LLAMA_CPP else OTHERS[side]
    code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
    return subprocess.run([python or sys.executable, "-c", code], check=False).returncode == 0
