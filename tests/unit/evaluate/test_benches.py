"""The comparisons of benches/: the order of the contestants, and which competitor a row names."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_blueprints import TINY
from zeropoint.weights.open_model import open_model

BENCHES = Path(__file__).parents[3] / "benches"


class FakeWorker:
    """Takes a fixed time for every call, and notes who was called."""

    def __init__(self, name: str, seconds: dict[bool, float], log: list[str]) -> None:
        self.about = {"name": name, "version": "1", "isa": "", "n_vocab": 1000}
        self.seconds, self.log, self.flash = seconds, log, False

    def call(self, method: str, *arguments: Any) -> Any:
        if method == "configure":
            self.flash = arguments[0]["flash"]
            return None
        if method == "bandwidth":
            return 1e9
        self.log.append(f"{self.about['name']} {self.flash}")
        return self.seconds[self.flash]


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHES))
    before = set(sys.modules)
    yield lambda *names: [importlib.import_module(name) for name in names]
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_row_names_the_fastest_configuration(modules: Any) -> None:
    contestants, measures = modules("contestants", "measures")
    log: list[str] = []
    ours = contestants.Contestant("zeropoint", FakeWorker("zeropoint", {False: 0.5}, log))
    peer = FakeWorker("llama.cpp", {False: 1.0, True: 0.25}, log)
    slow, fast = (contestants.Contestant(f"flash {on}", peer, {"flash": on}) for on in (False, True))
    prompts_only = contestants.Contestant("other", FakeWorker("other", {False: 9.0}, log), kinds=("prefill",))
    measured = [measures.Measure("prefill", 64), measures.Measure("decode", 16)]
    figures = measures.compare([ours, slow, fast, prompts_only], measured, rounds=2)
    about = {"weight_bytes": 10**7, "cache_bytes_a_position": 0}
    prefill, decode = measures.rows_of(figures, measured, about, "1b Q4_K ")
    assert (prefill.measure, prefill.peer_name, prefill.ratio) == ("1b Q4_K prefill64", "flash True", 0.5)
    assert prefill.peers == {"flash False": 64.0, "flash True": 256.0, "other": 64 / 9}
    assert set(decode.peers) == {"flash False", "flash True"}
    assert decode.share == pytest.approx(64.0 / (1e9 / 10**7))
    rounds = [log[i : i + 4] for i in (0, 7, 14)]  # the order of prefill in each round
    assert rounds[0] == rounds[2] != rounds[1] == rounds[0][::-1]


def test_generated_models_open(modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (generated,) = modules("generated")
    small = replace(TINY["llama"], n_vocab=512)
    monkeypatch.setattr(generated, "SIZES", {"tiny": lambda: small})
    generated.write_generated(tmp_path / "tiny.gguf", "tiny", "F16")
    assert open_model(tmp_path / "tiny.gguf").blueprint.blocks[0].ffn == small.blocks[0].ffn
