"""Measured bandwidth and rates, against an independent measurement and against each other."""

from __future__ import annotations

import time

import numpy as np
import pytest

from zeropoint.planning import roofline


@pytest.mark.heavy
def test_bandwidth_agrees_with_a_numpy_read() -> None:
    """The same quantity measured by other code: a wrong unit or buffer size would be off by far more."""
    words = np.ones(1 << 24, np.int64)  # 134 MB, larger than any cache
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        words.max()
        seconds.append(time.perf_counter() - start)
    numpy_bytes_s = words.nbytes / min(seconds)
    assert numpy_bytes_s / 8 < roofline.bandwidth_bytes_s(1) < numpy_bytes_s * 8


@pytest.mark.heavy
def test_formats_that_take_longer_to_unpack_have_lower_rates() -> None:
    """Exact mode expands each weight to float: about 6 times slower per byte for Q2_K than for F32."""
    f32, q2_k = (roofline.weights_rate({form: 1}, 1, is_exact=True) for form in ("F32", "Q2_K"))
    fast = roofline.weights_rate({"Q2_K": 1}, 1, is_exact=False)
    for rate in (f32, q2_k, fast):
        assert 0 < rate.low <= rate.bytes_s <= rate.high
    assert q2_k.bytes_s < f32.bytes_s / 2
    assert q2_k.bytes_s < fast.bytes_s / 1.5


def test_formats_are_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate of several formats is their harmonic mean, weighted by bytes."""
    rates = {("Q4_1", 2, False): (10e9, 5e9, 20e9), ("Q8_0", 2, False): (20e9, 10e9, 40e9)}
    monkeypatch.setattr(roofline._native, "measure_weights", lambda *key: rates[key])
    rate = roofline.weights_rate({"Q4_1": 10**9, "Q8_0": 2 * 10**9}, 2, False)
    assert (rate.bytes_s, rate.low, rate.high) == pytest.approx((15e9, 7.5e9, 30e9))
