"""What a process takes beside the weights and the cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zeropoint
from zeropoint.engine.native.kv_cache import context_bytes
from zeropoint.tokenizers.core.string_table import StringTable
from zeropoint.weights.gguf.reader import open_gguf

_MOST_BYTES = 60_000_000  # of which Python, numpy and the tokenizer's library take some 40
# The command line, then the most it took. What a parent is told of a child counts from the fork on.
_CHAT = """
import sys
from zeropoint.cli.app import main
try:
    main()
finally:
    print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")), file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_chat_takes_little_beside_weights_and_cache(smollm2_path: Path) -> None:
    with zeropoint.load(smollm2_path) as model:
        weights = model.engine.weight_bytes
        n_tokens = len(model.encode_chat([{"role": "user", "content": "Say yes."}])) + 8
        cache = context_bytes(model.blueprint, n_tokens, "f16")  # whole pages, as the engine has it
    command = [sys.executable, "-c", _CHAT, "chat", "-m", str(smollm2_path), "-n", "8", "Say yes."]
    peak_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()[-2])
    peak = peak_kib << 10
    assert peak - weights - cache < _MOST_BYTES


def test_packed_texts_are_the_texts() -> None:
    texts = ["", "a", "▁the", "\U0001f600", "", "z"]
    packed = StringTable(texts)
    assert list(packed) == texts
    assert packed[-1] == "z"
    assert packed[1:3] == texts[1:3]
    assert packed.index("▁the") == 2
    with pytest.raises(IndexError):
        packed[6]


def test_a_lean_file_lacks_the_lists_of_the_vocabulary_alone(smollm2_path: Path) -> None:
    file = open_gguf(smollm2_path)
    missing = set(file.metadata) - set(file.without_vocabulary().metadata)
    assert missing == {f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges")}
    assert file.without_vocabulary().tensors == file.tensors
