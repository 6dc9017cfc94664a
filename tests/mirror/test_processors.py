"""The same bits on emulated processors without AVX-512, and without AVX.

An instruction that the processor lacks would end the child with a signal. Requires `qemu-x86_64` (Debian's
qemu-user); skipped without it.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model

QEMU = shutil.which("qemu-x86_64")

RUN = """
import hashlib, sys
import zeropoint
for exact in (False, True):
    with zeropoint.load(sys.argv[1], threads=2, exact=exact) as model:
        print(model.engine.isa, hashlib.sha256(model.logits(range(5, 155)).tobytes()).hexdigest())
"""


@pytest.mark.process
@pytest.mark.skipif(QEMU is None or platform.machine() != "x86_64", reason="qemu-x86_64 is not installed")
@pytest.mark.parametrize(("processor", "isa"), [("Nehalem", "scalar"), ("Haswell", "avx2")])
def test_an_older_processor_gives_the_same_bits(processor: str, isa: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, Tiny(format="Q4_1", n_layers=1))
    done = subprocess.run(
        [str(QEMU), "-cpu", processor, sys.executable, "-c", RUN, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = []
    for exact in (False, True):
        with zeropoint.load(path, exact=exact) as model:
            expected.append(f"{isa} {hashlib.sha256(model.logits(range(5, 155)).tobytes()).hexdigest()}")
    assert done.stdout.splitlines() == expected
