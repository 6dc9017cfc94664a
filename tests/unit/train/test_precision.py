"""Which numbers are multiplied."""

from __future__ import annotations

import pytest
import torch

from zeropoint.train import precision
from zeropoint.train.precision import has_bfloat16, quickest_dtype


def test_the_quickest_dtype_is_one_of_two() -> None:
    assert quickest_dtype() in (torch.float32, torch.bfloat16)
    assert quickest_dtype(is_cpu=False) is torch.bfloat16


def test_what_is_known_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock may say something else on a busy machine, and a resumed run would multiply otherwise."""
    slow = {torch.float32: 1.0, torch.bfloat16: 2.0}
    monkeypatch.setattr(precision, "_seconds", lambda dtypes: slow)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for is_known, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda is_known=is_known: is_known)
        assert has_bfloat16() == is_known
        assert quickest_dtype() is dtype
