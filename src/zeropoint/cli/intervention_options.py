"""Options that modify a forward pass: `--steer`, `--ablate`, `--ablate-feature`.

Steering adds a vector to the residual stream (Turner et al., "Activation Addition", 2023). Ablation sets the
output of an attention head or a feed-forward feature to zero, which shows what the model uses it for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from zeropoint.cli import help_page
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen

if TYPE_CHECKING:
    from zeropoint.blueprint.interventions import Intervention
    from zeropoint.engine.session.model import Model

__all__ = ["InterventionOptions", "options", "pair", "parse"]

F = TypeVar("F", bound=Callable[..., Any])
_GROUP = "Change the model"
_OPTIONS = (
    help_page.option(
        "--steer",
        group=_GROUP,
        nargs=2,
        metavar="TOWARDS AWAY",
        help='Push the answer towards one text and away from another, as in "I love it" "I hate it": the '
        "model reads both, and the difference of its states (residual streams) is added to every token.",
    ),
    help_page.option(
        "--layer",
        group=_GROUP,
        type=int,
        metavar="N",
        help="With --steer: after which layer to add the difference, from 0. Default: the middle one.",
    ),
    help_page.option(
        "--scale",
        group=_GROUP,
        type=float,
        metavar="X",
        help="With --steer: how hard to push, as in 2; a negative number pushes the other way. Default: 1.",
    ),
    help_page.option(
        "--ablate",
        group=_GROUP,
        multiple=True,
        metavar="L.H",
        help="Switch off attention head H of layer L, as in 3.5, to see what it does. Repeatable.",
    ),
    help_page.option(
        "--ablate-feature",
        group=_GROUP,
        multiple=True,
        metavar="L.F",
        help="Switch off hidden unit F of layer L's feed-forward network, as in 3.500. Repeatable.",
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
