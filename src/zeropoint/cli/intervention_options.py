"""The options that change a pass: `--steer`, `--silence`, `--silence-feature`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

if TYPE_CHECKING:
    from zeropoint.blueprint.interventions import Intervention
    from zeropoint.engine.session.model import Model

__all__ = ["InterventionFlags", "asked", "options", "pair"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--steer",
        nargs=2,
        metavar="TOWARDS AWAY",
        help="Steer towards one text and away from another: the difference of the two in the residual stream "
        "is added at every token.",
    ),
    click.option(
        "--layer", type=int, metavar="N", help="After which block to steer. Default: the middle one."
    ),
    click.option("--scale", type=float, metavar="X", help="How strongly to steer. Default: 1."),
    click.option("--silence", multiple=True, metavar="L.H", help="Layer and head whose output becomes 0."),
    click.option(
        "--silence-feature",
        multiple=True,
        metavar="L.F",
        help="Layer and feed-forward feature that becomes 0.",
    ),
)


def options(command: F) -> F:
    """--steer --layer --scale --silence --silence-feature."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@frozen
class InterventionFlags:
    """What the options say."""

    steer: tuple[str, str] | None
    layer: int | None
    scale: float | None
    heads: Sequence[tuple[int, int]]
    features: Sequence[tuple[int, int]]

    def interventions(self, model: Model) -> list[Intervention]:
        """As taps for this model; steering reads both texts with it."""
        from zeropoint.blueprint.interventions import Scale
        from zeropoint.inspect.steer import steering_vector

        made: list[Intervention] = [Scale(f"blocks.{at}.attention.mix", head=head) for at, head in self.heads]
        made += [Scale(f"blocks.{at}.ffn.hidden", feature=feature) for at, feature in self.features]
        if self.steer is not None:
            scale = 1.0 if self.scale is None else self.scale
            made.append(steering_vector(model, *self.steer, layer=self.layer, scale=scale))
        return made


def asked(flags: dict[str, Any]) -> InterventionFlags:
    """Take these options out of all that was given. Raises BadInput."""
    steer, layer, scale = flags.pop("steer"), flags.pop("layer"), flags.pop("scale")
    if steer is None and (layer is not None or scale is not None):
        raise BadInput("--layer and --scale say how to --steer; give --steer TOWARDS AWAY too")
    heads = [pair(text, "--silence", "head") for text in flags.pop("silence")]
    features = [pair(text, "--silence-feature", "feature") for text in flags.pop("silence_feature")]
    return InterventionFlags(steer, layer, scale, heads, features)


def pair(text: str, option: str, second: str) -> tuple[int, int]:
    """3.5 as layer 3 and head (or feature) 5. Raises BadInput."""
    first, dot, last = text.partition(".")
    if not (dot and first.isdecimal() and last.isdecimal() and text.isascii()):
        raise BadInput(f"{option} {text} is no layer and {second}; write 3.5 for {second} 5 of layer 3")
    return int(first), int(last)
