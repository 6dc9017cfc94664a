"""Translate with a model you trained on pairs of sentences.

`zeropoint train multi30k` trains a German-to-English model to use with this command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeropoint.cli import help_page, matrix_view
from zeropoint.cli.answer import usage
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.cli.names import run_names
from zeropoint.cli.stdin import Prompt
from zeropoint.errors import BadInput, choices

if TYPE_CHECKING:
    from zeropoint.decoding.beam import Beam
    from zeropoint.decoding.translator import AttentionMap, Translator

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint translate runs/multi30k "Ein Hund rennt über die Wiese."
  zeropoint translate runs/multi30k "Zwei Kinder spielen." --attention --only source
  zeropoint translate runs/multi30k "Zwei Kinder spielen." --pictures maps
  zeropoint translate runs/multi30k --bleu test_2016_flickr
  zeropoint translate runs/multi30k < sentences.de > sentences.en
"""


@click.command("translate", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("run", shell_complete=run_names)
@click.argument("text", required=False)
@click.option(
    "--beam",
    "n_beams",
    type=int,
    default=4,
    metavar="N",
    show_default=True,
    help="Follow the N best beginnings of a translation at once (beam search); 1 follows only the best.",
)
@click.option(
    "--penalty",
    type=float,
    default=0.6,
    metavar="X",
    show_default=True,
    help="With several beams: larger numbers favour longer translations; 0 favours short ones.",
)
@click.option(
    "--checkpoint",
    default="best",
    metavar="STEP",
    show_default=True,
    help="Weights to use: best (lowest validation loss), latest, or those after a step, as in 1500.",
)
@click.option(
    "--average",
    type=int,
    metavar="N",
    help="Use the average of the last N checkpoints, as in 5; often better.",
)
@click.option(
    "--attention", is_flag=True, help="Print how much each word attends to each other word, by layer."
)
@click.option(
    "--only",
    metavar="WORD",
    help="With --attention or --pictures: only maps of this kind (encoder, decoder, self or source).",
)
@click.option("--pictures", metavar="FOLDER", help="Draw the attention of every head as PNG files.")
@click.option(
    "--bleu",
    metavar="SPLIT",
    help="Measure translation quality (BLEU, 0 to 100) on a part of the run's data, as in test_2016_flickr.",
)
@click.option("--plain", is_flag=True, help="Print matrices as plain text, without shading.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    run: str,
    text: str | None,
    n_beams: int,
    penalty: float,
    checkpoint: str,
    average: int | None,
    attention: bool,
    only: str | None,
    pictures: str | None,
    bleu: str | None,
    plain: bool,
    as_json: bool,
) -> None:
    """Translate TEXT, or each line of stdin (`-`), with the model of RUN.

    RUN is a run's folder, or the name of a folder in runs/. With --bleu, the command compares greedy and beam
    search using the latest weights, the best weights, and the average of the last checkpoints (5, or
    --average), scored by sacrebleu.
    """
    require_torch("translate")
    from zeropoint.decoding.beam import Beam
    from zeropoint.decoding.translator import open_translator

    beam, folder = Beam(n_beams, penalty), _folder(run)
    if bleu is not None:
        _measure_bleu(console, folder, bleu, beam, average or 5, as_json)
        return
    lines = (text if text not in (None, "-") else _read_stdin(text, console)).split("\n")
    if len(lines) > 1 and (attention or pictures):
        raise BadInput("--attention and --pictures take a single line; pass it as an argument after the run")
    translator = open_translator(folder, checkpoint, average or 1)
    answers = translator.answers(lines, None if n_beams == 1 else beam)
    translations = [translator.codec.decode(ids) for ids in answers]
    maps = _maps(translator, lines[0], answers[0], only) if attention or pictures else []
    if as_json:
        json_maps = [_as_json(attention_map) for attention_map in maps]
        counts = usage(translator.n_source_tokens(lines), sum(map(len, answers)))
        console.json({"lines": lines, "translations": translations, "maps": json_maps, "usage": counts})
    else:
        for line in translations:
            console.line(line)
    if attention and not as_json:
        _print_maps(console, maps, plain)
    for path in _draw(maps, Path(pictures)) if pictures else ():
        console.notice(f"wrote {path}")


def _read_stdin(text: str | None, console: Console) -> str:
    return Prompt(() if text is None else (text,), "text", console).text()


def _folder(run: str) -> Path:
    from zeropoint.catalogue.local_names import no_run
    from zeropoint.weights.run_checkpoint import is_run

    for path in (Path(run).expanduser(), Path("runs") / run):
        if is_run(path):
            return path
    raise BadInput(no_run(run, "multi30k"))


def _maps(translator: Translator, text: str, answer: list[int], only: str | None) -> list[AttentionMap]:
    maps = [m for m in translator.attention(text, answer) if only is None or only in m.kind]
    if not maps:
        raise BadInput(f"no attention map matches --only {only}; try encoder, decoder, self or source")
    return maps


def _measure_bleu(
    console: Console, run: Path, split: str, beam: Beam, n_averaged: int, as_json: bool
) -> None:
    from zeropoint.evaluate.translation import compare_search

    rows = []
    for row in compare_search(_translators(run, n_averaged), _pairs(run, split), beam):
        rows.append(row)
        console.notice(f"{row.weights}: {row.search}, BLEU {row.bleu:.2f}")
    if as_json:
        console.json({"split": split, "results": [row.as_json() for row in rows]})
        return
    console.table(
        ("weights", "search", "BLEU", "sentences", "seconds"),
        [(row.weights, row.search, f"{row.bleu:.2f}", row.n_sentences, f"{row.seconds:.1f}") for row in rows],
    )
    console.notice(rows[0].signature)


def _pairs(run: Path, split: str) -> list[tuple[str, str]]:
    """The sentence pairs of a split of the run's own data. Raises BadInput listing the splits."""
    from zeropoint.data.pairs import read_pairs
    from zeropoint.data.parallel_corpus import find_parallel_files
    from zeropoint.train.config.io import read_run_config

    config = read_run_config(run)
    files = find_parallel_files(config.data.source, config.data.languages)
    if split not in files:
        raise BadInput(choices(f"split of {config.data.source}", split, files))
    return read_pairs(*files[split])


def _translators(run: Path, n_averaged: int) -> Iterator[Translator]:
    """Translators with the latest weights, the best (if different) and the average of the last n_averaged."""
    from zeropoint.decoding.translator import open_translator
    from zeropoint.weights.run_checkpoint import checkpoint_path

    yield open_translator(run, "latest")
    if checkpoint_path(run, "best") != checkpoint_path(run, "latest"):
        yield open_translator(run, "best")
    if n_averaged > 1:
        yield open_translator(run, "latest", n_averaged)


def _print_maps(console: Console, maps: list[AttentionMap], plain: bool) -> None:
    """Print each layer's attention, averaged over its heads."""
    from zeropoint.learn.handmade.trace import Matrix

    is_shaded = not plain and console.has_color(sys.stdout)
    for attention_map in maps:
        mean_TS = attention_map.weights_HTS.mean(0).numpy().round(2)
        keys = tuple(key.replace(" ", "") for key in attention_map.keys)
        description = f"mean of {attention_map.weights_HTS.shape[0]} heads; rows attend to columns"
        name = f"{attention_map.kind}, layer {attention_map.layer}"
        matrix = Matrix(name, description, attention_map.queries, keys, mean_TS)
        (matrix_view.show_shaded if is_shaded else matrix_view.show_plain)(console, matrix)


def _draw(maps: list[AttentionMap], folder: Path) -> Iterator[Path]:
    """Write one picture per kind of attention and yield its path."""
    from zeropoint.files.atomic_write import replace_file
    from zeropoint.files.disk_errors import as_disk_error
    from zeropoint.inspect.attention_map import draw_maps

    with as_disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for kind, group in groupby(maps, key=lambda attention_map: attention_map.kind):
        layers = list(group)
        path = folder / f"{kind.replace(' ', '-')}.png"
        weights = [layer.weights_HTS.numpy() for layer in layers]
        title = f"{kind}: rows attend to columns"
        replace_file(path, draw_maps(title, weights, layers[0].queries, layers[0].keys))
        yield path


def _as_json(attention_map: AttentionMap) -> dict[str, object]:
    return {
        "kind": attention_map.kind,
        "layer": attention_map.layer,
        "queries": attention_map.queries,
        "keys": attention_map.keys,
        "weights": attention_map.weights_HTS.tolist(),
    }
