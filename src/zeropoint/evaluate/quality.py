"""What each number format costs: bytes, speed and perplexity of one model, side by side.

The model is converted to each format in turn and run. Converting can only lose: of a file that is quantised
already, the formats finer than its own show the file itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.blueprint.cost import count_parameters
from zeropoint.convert.convert import convert
from zeropoint.engine.session.model import load
from zeropoint.errors import BadInput, choices
from zeropoint.evaluate.perplexity import perplexity
from zeropoint.evaluate.speed import measure_rates
from zeropoint.formats import names as format_names

__all__ = ["FORMATS", "TEXT", "Quality", "measure_quality"]

# Of each size the ones in use: more take minutes, F32 the longest and to show what F16 does.
FORMATS = ("F16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q4_1", "Q4_0", "Q3_K", "Q2_K")
TEXT = Path(__file__).parents[1] / "data" / "harbour.txt"  # a story written for this
_WINDOW = 512
_PREFILL, _DECODE = 128, 16


@dataclass(frozen=True)
class Quality:
    """One format of one model. Rates in tokens/s, one sequence.

    formats: what its tensors came to be in, since Q8_0 and F16 stand in where rows do not divide into blocks.
    bits_per_weight: of the whole file.
    """

    format: str
    formats: dict[str, int]
    file_bytes: int
    bits_per_weight: float
    prefill_tok_s: float
    decode_tok_s: float
    perplexity: float
    n_tokens: int


def measure_quality(
    source: Path,
    formats: Sequence[str],
    text: str,
    *,
    n_tokens: int,
    threads: int | None = None,
    isa: str | None = None,
    exact: bool | None = None,
    n_runs: int = 3,
    on_format: Callable[[str], None] = lambda name: None,
    on_row: Callable[[Quality], None] = lambda row: None,
    notify: Callable[[str], None] = lambda text: None,
) -> list[Quality]:
    """Convert the model at `source` (GGUF or folder) to each format, one at a time on the disk, and judge it.

    on_row is told of each as soon as it is judged. Raises BadInput for a format that is unknown, and what
    `convert` and `load` raise.
    """
    wanted = [_known(name) for name in formats]
    if not wanted:
        raise BadInput("--formats names no format")
    found = []
    with tempfile.TemporaryDirectory(prefix="zeropoint-quality-") as folder:
        for name in wanted:
            on_format(name)
            path = Path(folder) / f"{name}.gguf"
            made = convert(source, path, to=name, notify=notify)
            with load(path, threads=threads, isa=isa, exact=exact, context=_WINDOW) as model:
                weight_bytes = sum(tensor.n_bytes for tensor in model.file.tensors.values())
                judged = perplexity(model, text, window=_WINDOW, n_tokens=n_tokens)
                rates = measure_rates(model.engine, n_runs, (_PREFILL,), (_DECODE,))
                found.append(
                    Quality(
                        name,
                        made.formats,
                        made.n_bytes,
                        8 * weight_bytes / count_parameters(model.blueprint),
                        rates.prefill[_PREFILL],
                        rates.decode[_DECODE],
                        judged.value,
                        judged.n_tokens,
                    )
                )
            path.unlink()
            on_row(found[-1])
    return found


def _known(name: str) -> str:
    if name.upper() not in format_names():
        raise BadInput(choices("format", name, format_names()))
    return name.upper()
