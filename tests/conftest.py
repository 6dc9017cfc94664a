"""Shared fixtures: the real model (fetched once through our own catalogue) and tiny generated models."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.tiny import write_tiny_model

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers already use every core; threads of torch would spin waiting for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["pytester", "tests.support.costs"]

DEFAULT_MODEL = "smollm2:135m"


@pytest.fixture(autouse=True)
def no_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide GPUs, so that results are those of the CPU everywhere; only the tests of CUDA see one."""
    if request.path.name != "test_cuda.py":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        if "torch" in sys.modules:
            monkeypatch.setattr(sys.modules["torch"].cuda, "is_available", lambda: False)


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model on this disk, fetched if necessary. Skips the test without a network."""
    from zeropoint.catalogue.fetch import resolve
    from zeropoint.errors import NetworkError

    try:
        return resolve(DEFAULT_MODEL).path
    except NetworkError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the default model cannot be fetched: {error}")


@pytest.fixture(scope="session")
def gemma3_path() -> Path:
    """Gemma 3 270M, if it is on this disk: its licence is accepted by a person, not by a test."""
    from zeropoint.catalogue.lookup import lookup

    path = lookup("gemma3:270m").path
    if path is None:
        pytest.skip("gemma3:270m is not on this disk; `zeropoint models pull gemma3:270m` fetches it")
    return path


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with local copies of public texts, named by ZEROPOINT_DATA."""
    folder = os.environ.get("ZEROPOINT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ZEROPOINT_DATA names no folder with data")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two small layers with random weights, in F32: loads in milliseconds."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_tiny_model(path)
    return path


@pytest.fixture(scope="session")
def trained_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that translates a few words, trained once for all tests that read it; not to be changed."""
    import torch

    from tests.support.tiny_pairs import train_tiny

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = train_tiny(tmp_path_factory.mktemp("pairs"))
    torch.set_num_threads(n_threads)
    return run
