"""Measure how fast a model runs on this machine.

Prefill is processing a prompt, decode is generating tokens after it. Decode is compared with its ceiling:
every token reads all weights once, so tokens/s cannot exceed memory bandwidth divided by the size of the
weights. With `--quality`, bench instead converts the model to several number formats and measures each.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, licence_question, open_model, options
from zeropoint.cli.console import Console
from zeropoint.cli.names import format_lists
from zeropoint.errors import BadInput
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.evaluate.quality import Quality

GROUP = "Check"
_QUALITY = "Compare number formats"
_ANSWER_TOKENS = 128
_EXAMPLES = """\b
Examples:
  zeropoint bench
  zeropoint bench --threads 1 --runs 9
  zeropoint bench --model ./my-model.gguf --json
  zeropoint bench --prefill 2048 --decode 16,2048
  zeropoint bench decoding
  zeropoint bench decoding --method lookahead --method first-layers=10
  zeropoint bench capacity --load 2,500,200
  zeropoint bench --quality --formats q8_0,q4_1,q4_0 --text novel.txt
"""


@click.command("bench", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument(
    "what", required=False, type=click.Choice(["decoding", "capacity"]), metavar="[decoding|capacity]"
)
@options.engine
@click.option(
    "--runs",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Measure everything N times and print the median. Default: 5, or 3 with --quality.",
)
@click.option("--prefill", metavar="N,N", help="Lengths of the prompts to read, in tokens. Default: 128,512.")
@click.option(
    "--decode", metavar="N,N", help="Lengths of the text before the tokens that are written. Default: 16,512."
)
@help_page.option(
    "--quality",
    group=_QUALITY,
    is_flag=True,
    help="Convert the model to several number formats; print the size, speed and perplexity of each.",
)
@help_page.option(
    "--formats",
    group=_QUALITY,
    metavar="F,F",
    help="With --quality: the formats to compare, as in q8_0,q4_0. Default: nine.",
    shell_complete=format_lists,
)
@help_page.option(
    "--text",
    group=_QUALITY,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --quality: the text to predict, in UTF-8. Default: a built-in story.",
)
@help_page.option(
    "--tokens",
    group=_QUALITY,
    type=click.IntRange(2),
    metavar="N",
    default=2048,
    show_default=True,
    help="With --quality: read this many tokens of the text.",
)
@help_page.option(
    "--method",
    "methods",
    group="Compare decoding methods",
    multiple=True,
    metavar="NAME",
    help="With `decoding`: a method to compare with plain decoding, as in prompt-lookup, draft=MODEL, "
    "first-layers=10, lookahead, threshold, contrastive or without-cache. Repeatable. Default: those of "
    "--speculate.",
)
@help_page.option(
    "--load",
    group="Compute capacity",
    default="1,500,200",
    show_default=True,
    metavar="R,P,A",
    help="With `capacity`: requests per second, tokens of a prompt and of an answer.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object; speeds are in tokens per second."
)
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    what: str | None,
    runs: int | None,
    prefill: str | None,
    decode: str | None,
    quality: bool,
    formats: str | None,
    text: Path | None,
    tokens: int,
    methods: tuple[str, ...],
    load: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure how fast a model reads a prompt and writes an answer, and how fast it could write at most.

    Reading a prompt is called prefill, writing is called decode. To write a token the processor reads all
    weights from memory, so memory bandwidth sets the ceiling. `bench decoding` measures instead how much
    guessing tokens gains (--speculate), by the kind of question; `bench capacity` how many requests a second
    this machine can take.
    """
    settings = options.read(flags)
    if what == "capacity":
        _capacity(console, settings, load, as_json)
        return
    if what is not None:
        _decoding(console, settings, methods, runs or 3, as_json)
        return
    if methods:
        raise BadInput("--method only applies to `bench decoding`; add the word, or remove the option")
    if quality:
        _quality(console, settings, formats, text, tokens, runs or 3, as_json)
        return
    if formats is not None or text is not None:
        raise BadInput("--formats and --text only apply to --quality; add it, or remove them")
    lengths = _lengths(prefill, "--prefill"), _lengths(decode, "--decode")
    _speed(console, settings, *lengths, runs or 5, as_json)


def _lengths(text: str | None, flag: str) -> tuple[int, ...] | None:
    """Parse "128,512". Raises BadInput."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) < 1 << 31 for word in words):
        raise BadInput(f"{flag} is {text[:60]!r}; expected lengths in tokens, as in 128,512")
    return tuple(map(int, words))


def _check_context(n_ctx: int, max_ctx: int, lengths: tuple[int, ...], flag: str, n_generated: int) -> None:
    """Raise BadInput for a requested length that would not fit and so be skipped."""
    from zeropoint.engine.context_limit import longer_context

    for n in lengths:
        if n + n_generated >= n_ctx:
            raise BadInput(
                f"{flag} {n} needs a context of more than {n + n_generated} tokens and it holds {n_ctx}; "
                f"choose a shorter length{longer_context(n_ctx, max_ctx)}"
            )


def _speed(
    console: Console,
    settings: Settings,
    prefill: tuple[int, ...] | None,
    decode: tuple[int, ...] | None,
    runs: int,
    as_json: bool,
) -> None:
    from zeropoint.evaluate.speed import DECODE_AT, DECODE_TOKENS, PREFILL_OF, measure_speed
    from zeropoint.planning.plan import read_bytes
    from zeropoint.planning.roofline import bandwidth_bytes_s

    with open_model.open_model(settings, console) as model:
        engine = model.engine
        _check_context(engine.n_ctx, model.blueprint.n_ctx, prefill or (), "--prefill", 0)
        _check_context(engine.n_ctx, model.blueprint.n_ctx, decode or (), "--decode", DECODE_TOKENS)
        weight_bytes = sum(tensor.n_bytes for tensor in model.file.tensors.values())
        speed = measure_speed(
            engine,
            model.blueprint,
            read_bytes(model.blueprint, weight_bytes),
            lambda: bandwidth_bytes_s(engine.n_threads),
            runs,
            lambda done, total: console.notice(f"{done} of {total} measurements done"),
            prefill_of=PREFILL_OF if prefill is None else prefill,
            decode_at=DECODE_AT if decode is None else decode,
        )
        facts = {
            "model": model.name,
            "instruction_set": engine.isa,
            "threads": engine.n_threads,
            "exact": engine.is_exact,
            "weight_bytes": weight_bytes,
        }
    if as_json:
        console.json({**facts, **speed.as_json()})
        return
    rows: list[tuple[str, str, str]] = []
    rows += [(f"prefill {n}", f"{rate:.0f} tok/s", "") for n, rate in speed.prefill.items()]
    for n, at in speed.decode.items():
        ceiling = f"{at.share:.0%} of {at.ceiling_tok_s:.0f} tok/s"
        rows.append((f"decode at {n}", f"{at.tok_s:.0f} tok/s", ceiling))
    rows += [
        ("first token after 16", f"{speed.first_token_ms:.0f} ms", ""),
        ("peak memory", f"{speed.peak_bytes / 1e6:.0f} MB", f"weights {weight_bytes / 1e6:.0f} MB"),
        ("memory bandwidth", f"{speed.bandwidth_bytes_s / 1e9:.1f} GB/s", f"{engine.n_threads} threads"),
    ]
    console.table(("measure", model.name, "ceiling"), rows)
    console.notice(f"{engine.isa}, {engine.n_threads} threads, median of {runs} runs")


def _decoding(
    console: Console, settings: Settings, methods: tuple[str, ...], runs: int, as_json: bool
) -> None:
    from zeropoint import registry
    from zeropoint.decoding.speculator import AUTO, DRAFTERS
    from zeropoint.evaluate.decoding import READABLE, measure_decoding, read_prompts
    from zeropoint.sampling.params import SamplingParams

    for name in methods:
        if name not in READABLE:
            SamplingParams.of(speculate=name)  # names the choices
    methods = methods or (AUTO, *(name.replace("_", "-") for name in registry.names(DRAFTERS)))
    with open_model.open_model(settings, console, will_chat=True) as model:
        found = measure_decoding(
            model,
            methods,
            read_prompts(),
            n_rounds=runs,
            max_tokens=_ANSWER_TOKENS,
            on_round=lambda done, total: console.notice(f"{done} of {total} rounds done"),
        )
    plain = {gain.category: gain.tok_s for gain in found if gain.method == "off"}
    if as_json:
        keys = ("method", "category", "acceptance", "rows_per_token", "is_identical")
        rows = [{key: getattr(gain, key) for key in keys} for gain in found]
        for row, gain in zip(rows, found, strict=True):
            row["tokens_per_second"], row["speedup"] = gain.tok_s, gain.tok_s / plain[gain.category]
        console.json({"model": model.name, "decoding": rows})
        return
    table = [
        (
            gain.category,
            gain.method,
            f"{gain.tok_s:.0f} tok/s",
            f"{gain.tok_s / plain[gain.category]:.2f}x",
            "" if gain.acceptance is None else f"{gain.acceptance:.0%}",
            f"{gain.rows_per_token:.2f}",
            "yes" if gain.is_identical else "NO",
        )
        for gain in found
    ]
    console.table(("questions", "method", "speed", "gain", "right", "rows per token", "same answer"), table)
    console.notice(f"{model.name}, {_ANSWER_TOKENS} tokens, median of {runs} runs")


def _capacity(console: Console, settings: Settings, load: str, as_json: bool) -> None:
    from zeropoint.evaluate.capacity import Load, capacity, measure_figures

    try:
        rate, prompt, answer = load.split(",")
        wanted = Load(float(rate), int(prompt), int(answer))
    except ValueError:
        wanted = Load(0, 0, 0)
    if not (0 < wanted.requests_per_second < 1e6 and wanted.prompt_tokens > 0 and wanted.answer_tokens > 1):
        raise BadInput(
            f"--load is {load[:60]!r}; expected requests per second, tokens of a prompt and of an answer, "
            "as in 2,500,200"
        )
    with open_model.open_model(settings, console) as model:
        found = capacity(model.blueprint, wanted, measure_figures(model.engine, wanted))
        name, n_threads = model.name, model.engine.n_threads
    if as_json:
        console.json({"model": name, "threads": n_threads, **found.as_json()})
        return
    figures = found.figures
    rows = [
        ("reads prompts", f"{figures.prompt:.0f} tok/s"),
        ("writes one answer", f"{figures.alone:.0f} tok/s"),
        (f"writes {figures.n_together} together", f"{figures.together:.0f} tok/s"),
        ("one answer, nobody else", f"{found.seconds_alone:.1f} s"),
        ("this machine is busy", f"{found.busy:.0%} of the time"),
        ("answers at once", f"{found.answers_at_once:.1f}, cache {found.cache_bytes / 1e6:.0f} MB"),
        ("one machine can take", f"{found.max_requests_per_second:.2f} requests/s"),
        ("machines needed", str(found.machines)),
    ]
    console.table(("for this load", name), rows)
    console.notice(f"{n_threads} threads; a machine counts as full when it is busy 70 % of the time")


def _quality(
    console: Console,
    settings: Settings,
    formats: str | None,
    text: Path | None,
    tokens: int,
    runs: int,
    as_json: bool,
) -> None:
    from zeropoint.catalogue.fetch import resolve
    from zeropoint.evaluate.perplexity import MAX_TOKEN_CHARS
    from zeropoint.evaluate.quality import FORMATS, TEXT, measure_quality

    name = open_model.model_name(settings)
    with console.progress(f"fetching {name}") as report:
        source = resolve(
            name,
            settings=settings,
            progress=report,
            notice=console.notice,
            ask_licence=licence_question.ask_licence(console),
        ).path
    rows = measure_quality(
        source,
        FORMATS if formats is None else [word.strip() for word in formats.split(",") if word.strip()],
        _read(text or TEXT, MAX_TOKEN_CHARS * tokens),
        n_tokens=tokens,
        options=settings.engine_options(),
        n_runs=runs,
        on_format=lambda form: console.notice(f"{form}: converting and measuring"),
        on_row=lambda row: console.notice(", ".join(_cells(row))),
        notify=console.notice,
    )
    if as_json:
        console.json(
            {"model": name, "text": str(text or TEXT.name), "formats": [row.as_json() for row in rows]}
        )
        return
    best = min(row.perplexity for row in rows)
    table = [(*_cells(row), f"{row.perplexity / best - 1:+.2%}") for row in rows]
    console.table(
        ("format", "bits per weight", "file", "prefill 128", "decode at 16", "perplexity", ""), table
    )
    console.notice(f"{name}, perplexity over {rows[0].n_tokens} tokens of {(text or TEXT).name}")


def _cells(row: Quality) -> tuple[str, ...]:
    return (
        row.format,
        f"{row.bits_per_weight:.2f}",
        f"{row.file_bytes / 1e6:.1f} MB",
        f"{row.prefill_tok_s:.0f} tok/s",
        f"{row.decode_tok_s:.0f} tok/s",
        f"{row.perplexity:.3f}",
    )


def _read(path: Path, n_chars: int) -> str:
    """The first n_chars characters of a text file. Raises BadInput."""
    if path.exists() and not path.is_file():
        raise BadInput(f"--text {path} is not a regular file; give the path of a text file")
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(n_chars)
    except UnicodeDecodeError:
        raise BadInput(f"--text {path} is not valid UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise BadInput(
            f"cannot read --text {path}: {error.strerror}; check the path and its permissions"
        ) from None
