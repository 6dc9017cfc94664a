"""What a request adds to plain decoding: guesses of its next tokens, or a guide that limits them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.decoding.speculator import speculator
from zeropoint.sampling.params import SamplingParams

if TYPE_CHECKING:
    from zeropoint.decoding.drafter import Drafter
    from zeropoint.decoding.guidance.guide import Guide
    from zeropoint.decoding.method import DecodingMethod
    from zeropoint.engine.session.model import Model

__all__ = ["decoding_method"]


def decoding_method(
    model: Model, params: SamplingParams, ids: Sequence[int], guide: Guide | None
) -> DecodingMethod | None:
    """The method for a prompt. A guide guesses on its own where it leaves one choice. Raises BadInput."""
    if guide is None or guide.after:

        def open_draft_model(name: str) -> Drafter:
            return model.draft_models.drafter(name, params, len(ids))

        guesses = speculator(params.speculate, ids, model.streams.pass_costs, open_draft_model)
        if guide is None:
            return guesses
        from zeropoint.decoding.guidance.triggered import Triggered

        return Triggered(model.guide_tokenizer, guide, model.tokenizer, guesses)
    from zeropoint.decoding.guidance.guided import Guided  # here: loads numpy and llguidance

    return Guided(model.guide_tokenizer, guide)
