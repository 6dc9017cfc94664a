"""Valid GGUF files with invalid models, and machines with too few resources.

Each is rejected with one sentence that names the file and the problem. NaN or infinite weights load and are
detected at the first token.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFValueType as Type

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint.errors import BadModelFile, MachineError, ZeropointError
from zeropoint.weights.gguf.reader import open_gguf

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a tiny model with the given changes and returns its path."""

    def write(tiny: Tiny | None = None, **changes: Any) -> Path:
        path = tmp_path / "model.gguf"
        write_tiny_model(path, tiny, **changes)
        return path

    return write


def load_error(path: Path, kind: type[ZeropointError] = BadModelFile, **options: Any) -> str:
    """The error message of loading the file, which must be one sentence."""
    with pytest.raises(kind) as caught:
        zeropoint.load(path, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    assert "model.gguf" in sentence
    return sentence


def command(
    path: Path, *more: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `zeropoint generate` on the file."""
    return subprocess.run(
        [sys.executable, "-m", "zeropoint", "generate", "--model", str(path), *more, "hi"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(environment or {})},
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The output of a failed command: one line on stderr and nothing else."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


KEYS = {
    "llama.block_count": [0, 4097, 2**31, 2**32 - 1],
    "llama.context_length": [0, 2**31],
    "llama.embedding_length": [0, 63, 65, 2**31],
    "llama.feed_forward_length": [0, 95, 2**31],
    "llama.attention.head_count": [0, 3, 5, 65537],
    "llama.attention.head_count_kv": [0, 3, 5, 2**31],
    "llama.attention.key_length": [0, 8, 4097],
    "llama.rope.dimension_count": [15, 18, 2**31],
    "llama.vocab_size": [0, 1, 260, 2**31],
}
FLOATS = {
    "llama.attention.layer_norm_rms_epsilon": [0.0, -1.0, math.nan, math.inf, 2.0],
    "llama.rope.freq_base": [0.0, -1.0, math.nan, math.inf],
}


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in KEYS.items() for v in values])
def test_invalid_sizes_are_rejected(key: str, value: int, write: Write) -> None:
    load_error(write(extra={key: (value, Type.UINT32)}))


@pytest.mark.parametrize(("key", "value"), [(k, v) for k, values in FLOATS.items() for v in values])
def test_invalid_floats_are_rejected(key: str, value: float, write: Write) -> None:
    assert f"`{key}`" in load_error(write(extra={key: (value, Type.FLOAT32)}))


OTHERS = [("a string", Type.STRING), (True, Type.BOOL), (2.5, Type.FLOAT32), (-1, Type.INT32)]
OF_ANOTHER_TYPE = [
    pytest.param(key, value, id=f"{key}-{value[1].name}")
    for key in [*KEYS, *FLOATS, "general.architecture"]
    for value in OTHERS
    if (key, value[1]) != ("llama.rope.freq_base", Type.FLOAT32)  # 2.5 is a valid base
]


@pytest.mark.parametrize(("key", "value"), OF_ANOTHER_TYPE)
def test_keys_of_another_type_are_rejected(key: str, value: tuple[Any, Type], write: Write) -> None:
    load_error(write(extra={key: value}))


def test_a_block_count_that_contradicts_the_tensors_is_rejected(write: Write) -> None:
    path = write(extra={"llama.block_count": (513, Type.UINT32)})
    assert "tensor blk.2.attn_norm.weight is missing" in load_error(path)
    path = write(extra={"llama.block_count": (1, Type.UINT32)})
    assert "tensor blk.1.attn_k.weight has no place" in load_error(path)


@pytest.mark.parametrize(
    "name", ["token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.1.ffn_up.weight"]
)
def test_missing_tensors_are_rejected(name: str, write: Write) -> None:
    assert f"tensor {name} is missing" in load_error(write(weights={name: None}))


def test_an_incomplete_set_of_biases_is_rejected(write: Write) -> None:
    assert "tensor blk.0.attn_k.bias is missing" in load_error(
        write(weights={"blk.0.attn_q.bias": np.zeros(64, np.float32)})
    )


@pytest.mark.parametrize("name", ["blk.0.ffn_gate.scale", "blk.2.attn_q.weight", "cls.weight", "\x1b[2J"])
def test_unknown_tensors_are_rejected(name: str, write: Write) -> None:
    sentence = load_error(write(weights={name: np.zeros(64, np.float32)}))
    assert "has no place in a llama model" in sentence
    assert "\x1b" not in sentence


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("token_embd.weight", (261, 32)),
        ("blk.0.attn_q.weight", (64, 32)),
        ("blk.1.attn_k.weight", (64, 64)),
        ("blk.1.ffn_down.weight", (96, 64)),
        ("blk.0.attn_norm.weight", (32,)),
        ("blk.0.attn_norm.weight", (1, 64)),
        ("output_norm.weight", (65,)),
        ("output.weight", (260, 64)),
        ("rope_freqs.weight", (7,)),
        ("rope_freqs.weight", (2, 8)),
    ],
)
def test_shapes_that_contradict_the_metadata_are_rejected(
    name: str, shape: tuple[int, ...], write: Write
) -> None:
    load_error(write(weights={name: np.ones(shape, np.float32)}))


def test_a_block_quantized_norm_is_rejected(write: Write) -> None:
    path = write()
    data = bytearray(path.read_bytes())
    name = b"blk.0.attn_norm.weight"
    at = data.index(name) + len(name) + 4 + 8  # after the number of dimensions and the single dimension
    data[at : at + 4] = (8).to_bytes(4, "little")  # Q8_0
    path.write_bytes(data)
    assert "must be stored as plain floats" in load_error(path)


@pytest.mark.parametrize("n_rows", [100, 260, 262, 4000])
def test_embedding_and_vocabulary_must_have_the_same_size(n_rows: int, write: Write) -> None:
    sentence = load_error(write(weights={"token_embd.weight": np.ones((n_rows, 64), np.float32)}))
    assert f"261 tokens; the embedding has {n_rows} rows" in sentence


def test_an_unknown_architecture_is_rejected(write: Write) -> None:
    sentence = load_error(write(extra={"general.architecture": ("mamba", Type.STRING)}))
    assert "of the architecture `mamba`, which zeropoint cannot run yet; it runs bert" in sentence


NON_FINITE = {"nan": np.nan, "infinity": np.inf, "minus-infinity": -np.inf}
LOCATIONS = {
    "token_embd.weight": "the embedding",
    "blk.0.attn_norm.weight": "layer 0",
    "blk.1.attn_q.weight": "layer 1",
    "blk.1.attn_k.weight": "layer 1",
    "blk.1.attn_v.weight": "layer 1",
    "blk.0.attn_output.weight": "layer 0",
    "blk.1.ffn_norm.weight": "layer 1",
    "blk.1.ffn_gate.weight": "layer 1",
    "blk.0.ffn_up.weight": "layer 0",
    "blk.1.ffn_down.weight": "layer 1",
    "output_norm.weight": "logits",
    "output.weight": "logits",
}


@pytest.mark.parametrize("bad", NON_FINITE)
@pytest.mark.parametrize("name", LOCATIONS)
def test_non_finite_weights_are_detected(name: str, bad: str, write: Write) -> None:
    from tests.support.tiny import tiny_weights

    weights = tiny_weights(Tiny(is_tied=False))
    weights[name].reshape(-1)[::7] = NON_FINITE[bad]
    path = write(Tiny(is_tied=False), weights=weights)
    for exact in (False, True):
        with zeropoint.load(path, exact=exact, threads=2) as model:
            for use in (
                lambda: model.generate("abc def", max_tokens=3, seed=1).text(),
                lambda: model.score("abc def"),
                lambda: model.logits("abc def"),
            ):
                with pytest.raises(MachineError, match=f"{LOCATIONS[name]}|NaN") as caught:
                    use()
                assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [0x7E00, 0x7C00, 0xFC00], ids=hex)
@pytest.mark.parametrize("format", ["Q4_0", "Q4_1", "Q8_0"])
def test_non_finite_block_scales_are_detected(format: str, scale: int, write: Write) -> None:
    path = write(Tiny(format=format))
    tensor = open_gguf(path).tensors["blk.1.ffn_down.weight"]
    data = bytearray(path.read_bytes())
    data[tensor.offset : tensor.offset + 2] = scale.to_bytes(2, "little")
    path.write_bytes(data)
    with zeropoint.load(path) as model:
        with pytest.raises(MachineError, match="layer 1 of the model produced NaN or infinity"):
            model.generate("abc def", seed=1).text()
        with pytest.raises(MachineError):
            model.score("abc def")


def test_denormal_scales_work_and_huge_weights_are_detected(write: Write) -> None:
    path = write(Tiny(format="Q4_0"))
    tensor = open_gguf(path).tensors["blk.1.ffn_down.weight"]
    data = bytearray(path.read_bytes())
    data[tensor.offset : tensor.offset + 2] = b"\x01\x00"
    path.write_bytes(data)
    with zeropoint.load(path) as model:
        assert len(model.generate("abc", max_tokens=4, seed=1).text()) > 0
    huge = np.full((96, 64), 1e38, np.float32)
    path = write(weights={"blk.0.ffn_gate.weight": huge})
    with zeropoint.load(path) as model, pytest.raises(MachineError, match="layer 0"):
        model.generate("abc def", seed=1).text()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"extra": {"llama.block_count": (0, Type.UINT32)}}, 2, "`llama.block_count` is 0"),
        ({"extra": {"llama.rope.freq_base": (math.nan, Type.FLOAT32)}}, 2, "`llama.rope.freq_base` is nan"),
        ({"extra": {"general.architecture": ("mamba", Type.STRING)}}, 2, "`mamba`, which zeropoint"),
        ({"weights": {"blk.1.ffn_up.weight": None}}, 2, "tensor blk.1.ffn_up.weight is missing"),
        ({"weights": {"blk.1.ffn_up.weight": np.ones((64, 64), np.float32)}}, 2, "has shape [64, 64]"),
        (
            {"weights": {"blk.1.ffn_up.weight": np.full((96, 64), np.nan, np.float32)}},
            1,
            "layer 1 of the model",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_the_command_line_reports_one_line(
    changes: dict[str, Any], code: int, words: str, write: Write
) -> None:
    assert words in one_line(command(write(**changes)), code)


@pytest.mark.heavy
def test_paths_that_are_not_models_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text.gguf").write_text("hello")
    for path in (tmp_path / "folder", tmp_path / "pipe", tmp_path / "text.gguf", Path("/dev/zero")):
        one_line(command(path), 2)


# Prefix for code that runs with little address space: `spare` MB more than in use after all imports.
LIMITED = """
import resource, sys
import zeropoint.engine.session.load, zeropoint.cli.app, zeropoint.cli.commands.generate
import zeropoint.tokenizers.formats.gguf
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
path, spare = sys.argv[1], int(sys.argv[2]) << 20
resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))
"""


def limited(code: str, path: Path, spare_mb: int, stack_mb: int = 8) -> subprocess.CompletedProcess[str]:
    """Run code with limited memory. stack_mb: address space that each new thread takes."""
    program = [sys.executable, "-c", LIMITED + code, str(path), str(spare_mb)]
    return subprocess.run(
        ["sh", "-c", f'ulimit -s {stack_mb << 10} && exec "$@"', "sh", *program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


GENERATE = """
sys.argv = ["zeropoint", "generate", "--model", path, "--threads", "1", "--max-tokens", "2", "hi"]
zeropoint.cli.app.main()
"""


HEAVY = Tiny(d_model=512, d_ff=2048)
WIDE = Tiny(n_layers=1, d_ff=16384)
LONG = Tiny(n_layers=6, n_heads=32, n_kv_heads=32, d_head=128, n_ctx=8192)


@pytest.mark.process
@pytest.mark.parametrize(
    ("tiny", "spares", "purpose"),
    [
        (HEAVY, (1, 8, 16, 20, 24, 28, 32), "to map the"),
        (HEAVY, (36, 44, 52), "for the model's weights"),
        (WIDE, (40, 48, 56), "for the model's activations"),
        (LONG, (54, 60, 66, 68, 70, 72), "for the KV cache"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_running_out_of_memory_gives_one_sentence(
    tiny: Tiny, spares: tuple[int, ...], purpose: str, write: Write
) -> None:
    """Whenever memory runs out, the message says what it was needed for."""
    path = write(tiny)
    messages = [one_line(limited(GENERATE, path, spare_mb), 1) for spare_mb in spares]
    assert any(purpose in message for message in messages), messages
    assert limited(GENERATE, path, 1000).returncode == 0


THREADS = """
model = zeropoint.engine.session.load.load(path, threads=200, context=64)
print(model.engine.n_threads, model.generate("abc", max_tokens=5, temperature=0).token_ids == [])
stream = model.generate("abc", max_tokens=5, temperature=0)
stream.text()
print(stream.token_ids)
"""


def test_generation_works_with_fewer_threads_than_requested(write: Write) -> None:
    path = write()
    with zeropoint.load(path, threads=1) as model:
        stream = model.generate("abc", max_tokens=5, temperature=0)
        stream.text()
    done = limited(THREADS, path, spare_mb=1600, stack_mb=1024)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert int(first.split()[0]) < 3
    assert second == str(stream.token_ids)


TRUNCATED = """
import os, sys, threading, time
import zeropoint
from zeropoint.errors import ZeropointError
path, delay_ms = sys.argv[1], float(sys.argv[2])
import zeropoint.engine.session.load as module
opened = module.load_tokenizer
def load_tokenizer(file):
    tokenizer = opened(file)
    def truncate():
        time.sleep(delay_ms / 1000)
        os.truncate(path, 100_000)
    threading.Thread(target=truncate).start()
    return tokenizer
module.load_tokenizer = load_tokenizer
try:
    model = zeropoint.load(path)
    print(model.generate("abc", max_tokens=2, seed=1).text() is not None)
except ZeropointError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.process
def test_a_file_truncated_while_loading_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    write_tiny_model(source, Tiny(n_layers=4, d_model=512, d_ff=2048))
    outcomes = set()
    for delay_ms in (0, 1, 3, 6, 10, 15, 25, 40, 80):
        path = tmp_path / "model.gguf"
        path.write_bytes(source.read_bytes())
        done = subprocess.run(
            [sys.executable, "-c", TRUNCATED, str(path), str(delay_ms)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{delay_ms} ms: {done.returncode} {done.stderr}"
        assert done.stdout.count("\n") == 1
        outcomes.add(done.stdout.split()[0])
    assert outcomes <= {"True", "DiskError:", "BadModelFile:"}
    assert outcomes & {"DiskError:", "BadModelFile:"}
