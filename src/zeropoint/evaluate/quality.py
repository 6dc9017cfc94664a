"""File size, speed and perplexity of one model in several number formats.

The model is converted to each format in turn and run. Converting never adds precision: for a quantised
source, a format finer than its own has the quality of the source.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeropoint.blueprint.cost import count_parameters
from zeropoint.convert.convert import convert
from zeropoint.engine.session.load import load
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.evaluate.perplexity import perplexity
from zeropoint.evaluate.speed import measure_rates
from zeropoint.formats import check_writable

__all__ = ["FORMATS", "TEXT", "Quality", "measure_quality"]

# The formats in common use at each size. All formats would take minutes more; F32 is slow and equals F16.
FORMATS = ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_1", "Q4_0", "Q3_K", "Q2_K")
TEXT = Path(__file__).parents[1] / "data" / "harbour.txt"  # a story written for this project
_WINDOW = 512
_PREFILL, _DECODE = 128, 16


@dataclass(frozen=True)
class Quality:
    """One format of one model. Rates in tokens/s, one sequence.

    formats: number of tensors per format; tensors whose rows do not divide into blocks fall back to Q8_0 or
    F16. bits_per_weight: averaged over all weights.
    """

    format: str
    formats: dict[str, int]
    file_bytes: int
    bits_per_weight: float
    prefill_tok_s: float
    decode_tok_s: float
    perplexity: float
    n_tokens: int

    def as_json(self) -> dict[str, Any]:
        """The figures, as `zeropoint bench --quality --json` prints them."""
        return {
            "format": self.format,
            "tensors_by_format": self.formats,
            "size_bytes": self.file_bytes,
            "bits_per_weight": self.bits_per_weight,
            "prefill_tokens_per_second": self.prefill_tok_s,
            "decode_tokens_per_second": self.decode_tok_s,
            "perplexity": self.perplexity,
            "tokens": self.n_tokens,
        }


def measure_quality(
    source: Path,
    formats: Sequence[str],
    text: str,
    *,
    n_tokens: int,
    options: EngineOptions | None = None,
    n_runs: int = 3,
    on_format: Callable[[str], None] = lambda name: None,
    on_row: Callable[[Quality], None] = lambda row: None,
    notify: Callable[[str], None] = lambda text: None,
) -> list[Quality]:
    """Convert the model at `source` (GGUF or folder) to each format in turn and measure it.

    options: engine options, except that the context is 512 tokens; by default those of the settings.
    on_format is called before, on_row after each measurement. Raises BadInput for an unknown format, and the
    errors of `convert` and `load`.
    """
    names = [_check_format(name) for name in formats]
    if not names:
        raise BadInput("--formats is empty; name at least one format, as in q8_0,q4_0")
    rows = []
    with tempfile.TemporaryDirectory(prefix="zeropoint-quality-") as folder:
        for name in names:
            on_format(name)
            path = Path(folder) / f"{name}.gguf"
            converted = convert(source, path, to=name, notify=notify)
            with load(path, options, context=_WINDOW) as model:
                weight_bytes = sum(tensor.n_bytes for tensor in model.file.tensors.values())
                measured = perplexity(model, text, window=_WINDOW, n_tokens=n_tokens)
                rates = measure_rates(model.engine, n_runs, (_PREFILL,), (_DECODE,))
                rows.append(
                    Quality(
                        name,
                        converted.formats,
                        converted.n_bytes,
                        8 * weight_bytes / count_parameters(model.blueprint),
                        rates.prefill[_PREFILL],
                        rates.decode[_DECODE],
                        measured.value,
                        measured.n_tokens,
                    )
                )
            path.unlink()
            on_row(rows[-1])
    return rows


def _check_format(name: str) -> str:
    check_writable(name)
    return name.upper()
