"""Memory bandwidth and the decoding speed that it allows.

Decoding one token reads every weight and every cached key and value once, so tokens/s cannot exceed
bandwidth / bytes (Williams et al., "Roofline", 2009).
"""

from __future__ import annotations

from collections.abc import Mapping

from zeropoint import _native
from zeropoint.frozen import frozen

__all__ = ["Rate", "bandwidth_bytes_s", "ceiling_tok_s", "weights_rate"]


@frozen
class Rate:
    """A measured rate in bytes/s: the median, and the quartiles `low` and `high`."""

    bytes_s: float
    low: float
    high: float


def bandwidth_bytes_s(n_threads: int) -> float:
    """Read bandwidth of memory with n_threads threads, in bytes/s. Measures for half a second."""
    return float(_native.measure_bandwidth(n_threads)[0])


def weights_rate(n_bytes: Mapping[str, int], n_threads: int, is_exact: bool) -> Rate:
    """Rate of matrix-vector products in bytes of weights/s, for n_bytes of weights in each number format.

    It is below the memory bandwidth where unpacking a format takes longer than reading it.
    """
    rates = {form: _native.measure_weights(form, n_threads, is_exact) for form in n_bytes}
    total = sum(n_bytes.values())
    return Rate(*(total / sum(n / rates[form][i] for form, n in n_bytes.items()) for i in range(3)))


def ceiling_tok_s(bandwidth: float, bytes_per_token: float) -> float:
    """The most tokens/s that a bandwidth (bytes/s) allows."""
    return bandwidth / bytes_per_token
