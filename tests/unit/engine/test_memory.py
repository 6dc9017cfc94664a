"""Resident memory of a process in addition to weights and KV cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zeropoint
from zeropoint.engine.native.kv_cache import context_bytes
from zeropoint.engine_options import EngineOptions
from zeropoint.tokenizers.core.string_table import StringTable
from zeropoint.weights.gguf.reader import open_gguf

_MAX_BYTES = 60_000_000  # Python, numpy and the tokenizers library take about 40 MB of it
# Runs the command line, then prints its peak RSS. (What a parent reads of a child includes the fork.)
_CHAT = """
import sys
from zeropoint.cli.app import main
try:
    main()
finally:
    print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_chat_needs_little_memory_besides_weights_and_cache(smollm2_path: Path) -> None:
    with zeropoint.load(smollm2_path) as model:
        weights = model.engine.weight_bytes
        n_tokens = len(model.encode_chat([{"role": "user", "content": "Say yes."}])) + 8
        # In full pages, as the engine allocates it.
        cache = context_bytes(model.blueprint, EngineOptions(cache_type="f16"), n_tokens)
    command = [sys.executable, "-c", _CHAT, "chat", "-m", str(smollm2_path), "-n", "8", "Say yes."]
    peak_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()[-2])
    peak = peak_kib << 10
    assert peak - weights - cache < _MAX_BYTES


def test_packed_texts_equal_the_list_of_texts() -> None:
    texts = ["", "a", "▁the", "\U0001f600", "", "z"]
    packed = StringTable(texts)
    assert list(packed) == texts
    assert packed[-1] == "z"
    assert packed[1:3] == texts[1:3]
    assert packed.index("▁the") == 2
    with pytest.raises(IndexError):
        packed[6]


def test_lean_file_drops_only_the_vocabulary_lists(smollm2_path: Path) -> None:
    file = open_gguf(smollm2_path)
    missing = set(file.metadata) - set(file.without_vocabulary().metadata)
    assert missing == {f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges")}
    assert file.without_vocabulary().tensors == file.tensors
