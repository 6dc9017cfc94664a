"""Which numbers are multiplied."""

from __future__ import annotations

import pytest
import torch

from zeropoint.train.loop import precision
from zeropoint.train.loop.precision import fastest_dtype, has_bfloat16


def test_the_quickest_dtype_is_one_of_two() -> None:
    assert fastest_dtype() in (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(("is_known", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_is_asked_whether_it_multiplies_bfloat16_itself(
    monkeypatch: pytest.MonkeyPatch, is_known: bool, dtype: torch.dtype
) -> None:
    """Torch computes in bfloat16 on old GPUs too, by a detour that takes several times as long."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_known)
    assert has_bfloat16(is_cpu=False) == is_known
    assert fastest_dtype(is_cpu=False) is dtype


def test_what_is_known_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock may say something else on a busy machine, and a resumed run would multiply otherwise."""
    slow = {torch.float32: 1.0, torch.bfloat16: 2.0}
    monkeypatch.setattr(precision, "_measure", lambda dtypes: slow)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for is_known, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda is_known=is_known: is_known)
        assert has_bfloat16() == is_known
        assert fastest_dtype() is dtype
