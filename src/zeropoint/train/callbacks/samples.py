"""Samples during training, to show what the model has learned: generated text, translations, filled masks."""

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

_MASK = "_"


@torch.no_grad()
def sample_text(model: Decoder | Encoder | Seq2Seq, prepared: Prepared, spec: SampleConfig, step: int) -> str:
    """A sample for the user after a step; the model's mode is restored.

    A decoder continues spec.prompt, with `step` as the random seed; an encoder-decoder translates
    prepared.examples greedily; an encoder fills the masks of the first validation rows.
    """
    is_training = model.training
    model.eval()
    try:
        if isinstance(model, Decoder):
            return _continue_prompt(model, prepared, spec, step)
        if isinstance(model, Seq2Seq):
            return _translate_examples(model, prepared)
        return _fill_masks(model, prepared, spec)
    finally:
        model.train(is_training)


def _continue_prompt(model: Decoder, prepared: Prepared, spec: SampleConfig, seed: int) -> str:
    """The prompt and its continuation; starts from token 0 if the tokenizer cannot encode the prompt."""
    codec, prompt = prepared.tokenizer, spec.prompt or "\n"
    try:
        ids = codec.encode(prompt)
    except BadInput:
        prompt, ids = "", [0]
    return prompt + codec.decode(_generate(model, ids, spec, seed))


def _generate(model: Decoder, prompt: Sequence[int], spec: SampleConfig, seed: int) -> list[int]:
    """Up to spec.n_tokens ids after the prompt, limited by the context."""
    steps = SamplingParams.of(temperature=spec.temperature, top_k=spec.top_k or None).steps
    device = next(model.parameters()).device
    ids, new = list(prompt), list(prompt)
    cache = model.new_cache()
    for _ in range(min(spec.n_tokens, model.blueprint.n_ctx - len(prompt))):
        logits_V = model(torch.tensor([new], device=device), cache)[0, -1].float().cpu().numpy()
        index = sample(steps, logits_V, ids, seed, len(ids))
        if index < 0:
            break  # NaN logits; the next training step reports them
        new = [index]
        ids += new
    return ids[len(prompt) :]


def _translate_examples(model: Seq2Seq, prepared: Prepared) -> str:
    sources = [source for source, _ in prepared.examples]
    answers = Translator("", model, prepared.tokenizer).translate(sources)
    return _blocks(
        {"source": source, "reference": reference, "model": translation}
        for (source, reference), translation in zip(prepared.examples, answers, strict=True)
    )


def _fill_masks(model: Encoder, prepared: Prepared, spec: SampleConfig) -> str:
    """Validation rows with all targets masked, the original text, and the most likely tokens in the masks."""
    batches, codec = prepared.validation, prepared.tokenizer
    if not isinstance(batches, MaskedBatches):
        return ""  # an encoder with another objective has no masks
    n_rows = min(spec.n_examples, batches.n_rows)
    ids_BT, target_BT = (array[:, : spec.n_tokens] for array in batches.batch(0, slice(n_rows)))
    is_masked_BT = target_BT != IGNORED
    text_BT = np.where(is_masked_BT, target_BT, ids_BT)
    input_BT = np.where(is_masked_BT, codec.mask_id, text_BT)
    logits_BTV = model(torch.from_numpy(input_BT).to(next(model.parameters()).device))
    # The mask may have an id past the vocabulary, which is no text.
    predicted_BT = logits_BTV[..., : codec.n_vocab].argmax(-1).cpu().numpy()
    filled_BT = np.where(is_masked_BT, predicted_BT, text_BT)
    return _blocks(
        {
            "masked": _with_masks(codec, text_T, is_masked_T),
            "text": codec.decode(text_T.tolist()),
            "model": codec.decode(filled_T.tolist()),
        }
        for text_T, is_masked_T, filled_T in zip(text_BT, is_masked_BT, filled_BT, strict=True)
    )


def _with_masks(codec: TextCodec, ids_T: NDArray[np.int64], is_masked_T: NDArray[np.bool_]) -> str:
    """The text, with `_` for each masked token."""
    cuts = np.flatnonzero(np.diff(is_masked_T)) + 1
    runs = zip(np.split(ids_T, cuts), np.split(is_masked_T, cuts), strict=True)
    return "".join(_MASK * len(ids) if masked[0] else codec.decode(ids.tolist()) for ids, masked in runs)


def _blocks(examples: Iterable[Mapping[str, str]]) -> str:
    """Each example as lines of a label and a text, with an empty line between examples."""
    return "\n\n".join(
        "\n".join(f"{name:<9}  {text}".replace("\n", "↵").rstrip() for name, text in example.items())
        for example in examples
    )
