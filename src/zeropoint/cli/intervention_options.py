"""Options that modify a forward pass: `--steer`, `--ablate`, `--ablate-feature`.

Steering adds a vector to the residual stream (Turner et al., "Activation Addition", 2023). Ablation sets the
output of an attention head or a feed-forward feature to zero, which shows what the model uses it for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

if TYPE_CHECKING:
    from zeropoint.blueprint.interventions import Intervention
    from zeropoint.engine.session.model import Model

__all__ = ["InterventionOptions", "options", "pair", "parse"]

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option(
        "--steer",
        nargs=2,
        metavar="TOWARDS AWAY",
        help="Steer the model towards one text and away from another: add the difference of their residual "
        "streams to every token.",
    ),
    click.option(
        "--layer",
        type=int,
        metavar="N",
        help="With --steer: the block after which to add the vector, from 0. Default: the middle block.",
    ),
    click.option(
        "--scale", type=float, metavar="X", help="With --steer: the strength of the vector. Default: 1."
    ),
    click.option(
        "--ablate",
        multiple=True,
        metavar="L.H",
        help="Set the output of attention head H in layer L to zero. Repeatable.",
    ),
    click.option(
        "--ablate-feature",
        multiple=True,
        metavar="L.F",
        help="Set feed-forward feature (hidden unit) F in layer L to zero. Repeatable.",
    ),
)


def options(command: F) -> F:
    """Add --steer, --layer, --scale, --ablate and --ablate-feature to a click command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@frozen
class InterventionOptions:
    """The parsed options. heads, features: (layer, index) pairs to ablate."""

    steer: tuple[str, str] | None
    layer: int | None
    scale: float | None
    heads: Sequence[tuple[int, int]]
    features: Sequence[tuple[int, int]]

    def interventions(self, model: Model) -> list[Intervention]:
        """The interventions for this model. Steering first runs both texts through it."""
        from zeropoint.blueprint.interventions import Scale
        from zeropoint.inspect.steer import steering_vector

        result: list[Intervention] = [
            Scale(f"blocks.{at}.attention.context", head=head) for at, head in self.heads
        ]
        result += [Scale(f"blocks.{at}.ffn.hidden", feature=feature) for at, feature in self.features]
        if self.steer is not None:
            scale = 1.0 if self.scale is None else self.scale
            result.append(steering_vector(model, *self.steer, layer=self.layer, scale=scale))
        return result


def parse(flags: dict[str, Any]) -> InterventionOptions:
    """Remove these options from `flags` and check them. Raises BadInput."""
    steer, layer, scale = flags.pop("steer"), flags.pop("layer"), flags.pop("scale")
    if steer is None and (layer is not None or scale is not None):
        raise BadInput("--layer and --scale only apply to steering; add --steer TOWARDS AWAY")
    heads = [pair(text, "--ablate", "head") for text in flags.pop("ablate")]
    features = [pair(text, "--ablate-feature", "feature") for text in flags.pop("ablate_feature")]
    return InterventionOptions(steer, layer, scale, heads, features)


def pair(text: str, option: str, noun: str) -> tuple[int, int]:
    """Parse "3.5" as layer 3 and head (or feature) 5. Raises BadInput."""
    layer, dot, index = text.partition(".")
    if not (dot and layer.isdecimal() and index.isdecimal() and text.isascii()):
        raise BadInput(f"{option} {text} is not a layer and {noun}; write 3.5 for {noun} 5 of layer 3")
    return int(layer), int(index)
