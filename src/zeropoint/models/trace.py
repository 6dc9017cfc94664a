"""Every named intermediate of a forward pass: the points of `blueprint/taps.py`, each with its tensor."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from zeropoint.blueprint.interventions import PointEdit
from zeropoint.blueprint.taps import tap_points
from zeropoint.errors import BadInput, choices
from zeropoint.layers.taps import See
from zeropoint.models.decoder import Decoder
from zeropoint.models.encoder import Encoder
from zeropoint.models.interventions import editing
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
    """Name to tensor, without the batch axis, for one sequence.

    source_ids: what an encoder-decoder reads first. points: the names wanted, by default all. n_positions:
    how long a decoder's text may become (`Decoder.forward`). edits: how the pass is changed; at a point one
    sees what was made of it.
    Raises BadInput for no ids and for a point that the blueprint does not have.
    """
    if not len(ids):
        raise BadInput("there is nothing to trace; give at least one token")
    known = tap_points(module.blueprint, len(ids), n_source=len(source_ids))
    for name in points or ():
        if name not in known:
            raise BadInput(choices("tap", name, known))
    seen: dict[str, Tensor] = {}

    def see(name: str, tensor: Tensor) -> None:
        if name in known and (points is None or name in points):
            seen[name] = tensor[0]

    was_training = module.training
    module.eval()
    _run(module, ids, source_ids, n_positions, editing(edits, see=see))
    module.train(was_training)
    return {name: seen[name] for name in known if name in seen}


def _run(
    module: Decoder | Encoder | Seq2Seq,
    ids: Sequence[int],
    source_ids: Sequence[int],
    n_positions: int | None,
    see: See | None,
) -> None:
    device = module.embedding.weight.device
    ids_BT = torch.tensor([list(ids)], device=device)
    match module:
        case Decoder():
            module(ids_BT, n_positions=n_positions, see=see)
        case Encoder():
            module(ids_BT, see=see)
        case Seq2Seq():
            if not len(source_ids):
                raise BadInput("an encoder-decoder reads a source first; give source_ids")
            module(torch.tensor([list(source_ids)], device=device), ids_BT, see=see)
