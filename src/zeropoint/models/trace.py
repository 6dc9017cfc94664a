"""Trace a forward pass: every tap of `blueprint/taps.py` with its tensor."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from zeropoint.blueprint.interventions import PointEdit
from zeropoint.blueprint.taps import tap_points
from zeropoint.errors import BadInput, choices
from zeropoint.layers.taps import observe
from zeropoint.models.decoder import Decoder
from zeropoint.models.encoder import Encoder
from zeropoint.models.interventions import as_functions
from zeropoint.models.seq2seq import Seq2Seq

__all__ = ["trace"]


@torch.no_grad()
def trace(
    module: Decoder | Encoder | Seq2Seq,
    ids: Sequence[int],
    source_ids: Sequence[int] = (),
    *,
    points: Collection[str] | None = None,
    n_positions: int | None = None,
    edits: Sequence[PointEdit] = (),
) -> dict[str, Tensor]:
    """Tap names to tensors, without the batch axis, for one sequence in eval mode. The module is not changed.

    source_ids: the source of an encoder-decoder. points: names of the taps to record, by default all.
    n_positions: length that a decoder's text may reach (`Decoder.forward`). edits: interventions; a tap at
    such a point records the modified tensor. Raises BadInput for empty ids and for a tap that the blueprint
    does not have.
    """
    if not len(ids):
        raise BadInput("there are no tokens to trace; give at least one token")
    known = tap_points(module.blueprint, len(ids), n_source=len(source_ids))
    for name in points or ():
        if name not in known:
            raise BadInput(choices("tap", name, known))
    recorded: dict[str, Tensor] = {}

    def store(name: str, tensor: Tensor) -> None:
        if name in known and (points is None or name in points):
            recorded[name] = tensor[0]

    observed = observe(module, store, as_functions(edits)).eval()
    device = module.embedding.weight.device
    ids_BT = torch.tensor([list(ids)], device=device)
    match observed:
        case Decoder():
            observed(ids_BT, n_positions=n_positions)
        case Encoder():
            observed(ids_BT)
        case Seq2Seq():
            if not len(source_ids):
                raise BadInput("an encoder-decoder needs a source; give source_ids")
            observed(torch.tensor([list(source_ids)], device=device), ids_BT)
    return {name: recorded[name] for name in known if name in recorded}
