"""Translate with a run that was trained on parallel text; show where it looked; judge it by BLEU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zeropoint.cli import matrix_view
from zeropoint.cli.answer import read_prompt
from zeropoint.cli.console import Console
from zeropoint.cli.extras import need_torch
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.decoding.beam import Beam
    from zeropoint.train.run.translator import AttentionMap, Translator

_EXAMPLES = """\b
Examples:
  zeropoint translate runs/multi30k "Ein Hund rennt über die Wiese."
  zeropoint translate runs/multi30k "Zwei Kinder spielen." --attention --only source
  zeropoint translate runs/multi30k "Zwei Kinder spielen." --pictures maps
  zeropoint translate runs/multi30k --bleu test_2016_flickr
  zeropoint translate runs/multi30k < sentences.de > sentences.en
"""


@click.command("translate", epilog=_EXAMPLES)
@click.argument("run")
@click.argument("text", required=False)
@click.option("--beam", "n_beams", type=int, default=4, show_default=True, help="Answers that are followed.")
@click.option("--penalty", type=float, default=0.6, show_default=True, help="Above 0: longer answers.")
@click.option("--checkpoint", default="best", show_default=True, help="best, latest or a step.")
@click.option("--average", type=int, metavar="N", help="Mean of the weights of the last N checkpoints.")
@click.option("--attention", is_flag=True, help="Show what every layer looked at, as the mean of its heads.")
@click.option("--only", metavar="WORD", help="Of the maps only: encoder, decoder, self, source.")
@click.option("--pictures", metavar="FOLDER", help="Draw every head of every layer, as PNG files.")
@click.option("--bleu", metavar="PART", help="Judge by a part of the run's data, such as test_2016_flickr.")
@click.option("--plain", is_flag=True, help="Plain text, as in a pipe or without colour.")
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
    """Translate TEXT, or each line of stdin (`-`), with a RUN of parallel text, by its folder or name.

    --bleu compares greedy and beam search, with the last weights, the best, and the mean of the last
    checkpoints (5, or --average), by sacrebleu.
    """
    need_torch("translate")
    from zeropoint.decoding.beam import Beam
    from zeropoint.train.run.translator import open_translator

    beam, folder = Beam(n_beams, penalty), _folder(run)
    if bleu is not None:
        _judge(console, folder, bleu, beam, average, as_json)
        return
    lines = (text if text not in (None, "-") else read_prompt(text, "text")).split("\n")
    if len(lines) > 1 and (attention or pictures):
        raise BadInput("attention is shown for one line; give it after the run")
    translator = open_translator(folder, checkpoint, average or 1)
    answers = translator.answers(lines, None if n_beams == 1 else beam)
    said = [translator.coding.decode(ids) for ids in answers]
    maps = _maps(translator, lines[0], answers[0], only) if attention or pictures else []
    if as_json:
        console.json({"lines": lines, "translations": said, "maps": [_as_json(one) for one in maps]})
    else:
        for line in said:
            console.line(line)
    if attention and not as_json:
        _show(console, maps, plain)
    for path in _draw(maps, Path(pictures)) if pictures else ():
        console.notice(f"wrote {path}")


def _folder(run: str) -> Path:
    from zeropoint.weights.run_checkpoint import is_run

    for path in (Path(run).expanduser(), Path("runs") / run):
        if is_run(path):
            return path
    raise BadInput(f"there is no run {run}, nor runs/{run}; make one: zeropoint train multi30k")


def _maps(translator: Translator, text: str, answer: list[int], only: str | None) -> list[AttentionMap]:
    maps = [one for one in translator.attention(text, answer) if only is None or only in one.kind]
    if not maps:
        raise BadInput(f"no map has `{only}` in its name; try encoder, decoder, self or source")
    return maps


def _judge(console: Console, run: Path, part: str, beam: Beam, average: int | None, as_json: bool) -> None:
    from zeropoint.evaluate.translation import judge, judged_by

    rows = []
    for row in judge(run, judged_by(run, part), beam, average or 5):
        rows.append(row)
        console.notice(f"{row.weights}: {row.search}, BLEU {row.bleu:.2f}")
    if as_json:
        console.json({"part": part, "rows": [vars(row) for row in rows]})
        return
    console.table(
        ("weights", "search", "BLEU", "sentences", "seconds"),
        [(row.weights, row.search, f"{row.bleu:.2f}", row.n_pairs, f"{row.seconds:.1f}") for row in rows],
    )
    console.notice(rows[0].signature)


def _show(console: Console, maps: list[AttentionMap], plain: bool) -> None:
    """Each layer's mean over its heads."""
    from zeropoint.learn.handmade.trace import Matrix

    is_shaded = not plain and console.has_color(sys.stdout)
    for one in maps:
        mean_TS = one.weights_HTS.mean(0).numpy().round(2)
        keys = tuple(key.replace(" ", "") for key in one.keys)
        about = f"{one.weights_HTS.shape[0]} heads; a row looks at the columns"
        shown = Matrix(f"{one.kind}, layer {one.layer}", about, one.queries, keys, mean_TS)
        (matrix_view.show_shaded if is_shaded else matrix_view.show_plain)(console, shown)


def _draw(maps: list[AttentionMap], folder: Path) -> Iterator[Path]:
    """A picture for each kind."""
    from zeropoint.inspect.attention_map import draw_maps

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, group in groupby(maps, key=lambda one: one.kind):
            layers = list(group)
            path = folder / f"{kind.replace(' ', '-')}.png"
            weights = [one.weights_HTS.numpy() for one in layers]
            title = f"{kind}: a row looks at the columns"
            path.write_bytes(draw_maps(title, weights, layers[0].queries, layers[0].keys))
            yield path
    except OSError as error:
        raise BadInput(f"{folder}: pictures cannot be written there: {error.strerror}") from None


def _as_json(one: AttentionMap) -> dict[str, object]:
    return {
        "kind": one.kind,
        "layer": one.layer,
        "queries": one.queries,
        "keys": one.keys,
        "weights": one.weights_HTS.tolist(),
    }
