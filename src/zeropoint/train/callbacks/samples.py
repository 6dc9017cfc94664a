"""What a model says while it is trained, to see what it has learnt: a text, translations, filled gaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.data.batches import IGNORED
from zeropoint.data.masked_lm import MaskedBatches
from zeropoint.data.text_codec import TextCodec
from zeropoint.decoding.translator import Translator
from zeropoint.errors import BadInput
from zeropoint.models.decoder import Decoder
from zeropoint.models.encoder import Encoder
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.sampling.draw import sample
from zeropoint.sampling.params import SamplingParams
from zeropoint.train.config.config import SampleConfig
from zeropoint.train.run.prepare import Prepared

__all__ = ["sample_text"]

_GAP = "_"


@torch.no_grad()
def sample_text(model: Decoder | Encoder | Seq2Seq, prepared: Prepared, spec: SampleConfig, step: int) -> str:
    """What a person is shown after a step, of the model's own kind; the model stays as it was.

    A decoder goes on from spec.prompt; an encoder-decoder translates prepared.examples greedily; an encoder
    fills the gaps of the first rows that it is judged by. Nothing is drawn but a decoder's text, by `step`.
    """
    is_training = model.training
    model.eval()
    try:
        if isinstance(model, Decoder):
            return _went_on(model, prepared, spec, step)
        if isinstance(model, Seq2Seq):
            return _translated(model, prepared)
        return _filled(model, prepared, spec)
    finally:
        model.train(is_training)


def _went_on(model: Decoder, prepared: Prepared, spec: SampleConfig, seed: int) -> str:
    """The prompt and what comes after it; a line's end, where the text has not the prompt's characters."""
    coding, prompt = prepared.tokenizer, spec.prompt or "\n"
    try:
        ids = coding.encode(prompt)
    except BadInput:
        prompt, ids = "", [0]
    return prompt + coding.decode(_written(model, ids, spec, seed))


def _written(model: Decoder, prompt: Sequence[int], spec: SampleConfig, seed: int) -> list[int]:
    """Up to spec.n_tokens ids after the prompt, as many as the context has room for."""
    steps = SamplingParams.of(temperature=spec.temperature, top_k=spec.top_k or None).steps
    device = next(model.parameters()).device
    ids, new = list(prompt), list(prompt)
    cache = model.new_cache()
    for _ in range(min(spec.n_tokens, model.blueprint.n_ctx - len(prompt))):
        logits_V = model(torch.tensor([new], device=device), cache)[0, -1].float().cpu().numpy()
        index = sample(steps, logits_V, ids, seed, len(ids))
        if index < 0:
            break  # logits that are no numbers; the step that follows says so
        new = [index]
        ids += new
    return ids[len(prompt) :]


def _translated(model: Seq2Seq, prepared: Prepared) -> str:
    sources = [source for source, _ in prepared.examples]
    answers = Translator("", model, prepared.tokenizer).translate(sources)
    return _blocks(
        {"source": source, "reference": reference, "ours": ours}
        for (source, reference), ours in zip(prepared.examples, answers, strict=True)
    )


def _filled(model: Encoder, prepared: Prepared, spec: SampleConfig) -> str:
    """Rows with gaps for all that is asked for, as they were, and with the likeliest tokens in the gaps."""
    batches, coding = prepared.validation, prepared.tokenizer
    if not isinstance(batches, MaskedBatches):
        return ""  # an encoder of another objective has no gaps
    n_rows = min(spec.n_examples, batches.n_rows)
    ids_BT, wanted_BT = (array[:, : spec.n_tokens] for array in batches.batch(0, slice(n_rows)))
    is_gap_BT = wanted_BT != IGNORED
    was_BT = np.where(is_gap_BT, wanted_BT, ids_BT)
    read_BT = np.where(is_gap_BT, coding.mask_id, was_BT)
    logits_BTV = model(torch.from_numpy(read_BT).to(next(model.parameters()).device))
    # The mask may have a row past the vocabulary; it is nothing that a text could say.
    said_BT = np.where(is_gap_BT, logits_BTV[..., : coding.n_vocab].argmax(-1).cpu().numpy(), was_BT)
    return _blocks(
        {
            "hidden": _with_gaps(coding, was_T, is_gap_T),
            "text": coding.decode(was_T.tolist()),
            "ours": coding.decode(said_T.tolist()),
        }
        for was_T, is_gap_T, said_T in zip(was_BT, is_gap_BT, said_BT, strict=True)
    )


def _with_gaps(coding: TextCodec, ids_T: NDArray[np.int64], is_gap_T: NDArray[np.bool_]) -> str:
    """The text, a mark for each hidden token."""
    cuts = np.flatnonzero(np.diff(is_gap_T)) + 1
    runs = zip(np.split(ids_T, cuts), np.split(is_gap_T, cuts), strict=True)
    return "".join(_GAP * len(ids) if gap[0] else coding.decode(ids.tolist()) for ids, gap in runs)


def _blocks(examples: Iterable[Mapping[str, str]]) -> str:
    """Each example as lines of a name and a text, an empty line between examples."""
    return "\n\n".join(
        "\n".join(f"{name:<9}  {text}".replace("\n", "↵").rstrip() for name, text in example.items())
        for example in examples
    )
