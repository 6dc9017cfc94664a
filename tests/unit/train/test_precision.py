"""Choosing the precision of matrix products."""

from __future__ import annotations

import pytest
import torch

from zeropoint.train.loop import precision
from zeropoint.train.loop.precision import fastest_dtype, has_bfloat16


@pytest.fixture
def unknown_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that does not report support for bfloat16."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


@pytest.mark.usefixtures("unknown_cpu")
@pytest.mark.parametrize(
    ("bfloat16_s", "dtype"),
    [(0.5, torch.bfloat16), (0.66, torch.bfloat16), (0.67, torch.float32), (3.0, torch.float32)],
)
def test_an_unknown_cpu_uses_bfloat16_if_it_takes_less_than_two_thirds_of_the_time(
    bfloat16_s: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {torch.float32: 1.0, torch.bfloat16: bfloat16_s}
    monkeypatch.setattr(precision, "_measure", lambda dtypes: seconds)
    assert fastest_dtype() is dtype


def test_every_type_is_measured_on_one_thread_and_the_thread_count_is_restored() -> None:
    torch.set_num_threads(2)
    seconds = precision._measure((torch.float32, torch.bfloat16))
    assert torch.get_num_threads() == 2
    assert seconds.keys() == {torch.float32, torch.bfloat16}
    assert all(0 < value < 1 for value in seconds.values())


@pytest.mark.parametrize(("is_supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_uses_bfloat16_only_if_its_hardware_supports_it(
    monkeypatch: pytest.MonkeyPatch, is_supported: bool, dtype: torch.dtype
) -> None:
    """torch emulates bfloat16 on old GPUs, which takes several times as long."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_supported)
    assert has_bfloat16(is_cpu=False) == is_supported
    assert fastest_dtype(is_cpu=False) is dtype


@pytest.mark.usefixtures("unknown_cpu")
def test_known_hardware_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a measurement may differ, and a resumed run would compute differently."""
    slow_bfloat16 = {torch.float32: 1.0, torch.bfloat16: 2.0}
    monkeypatch.setattr(precision, "_measure", lambda dtypes: slow_bfloat16)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert has_bfloat16()
    assert fastest_dtype() is torch.bfloat16
