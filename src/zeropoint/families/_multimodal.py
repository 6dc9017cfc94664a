"""Multimodal models: only their language model is read, as a text model of its own.

config.json has the language model's config in `text_config`. Its tensors begin with "language_model."
(published models) or "model.language_model." (saved by transformers 5), those of the other parts with the
part's name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zeropoint.errors import BadModelFile

__all__ = ["OTHER_PARTS", "text_config", "text_name"]

_TEXT = re.compile(r"(model\.)?language_model\.(model\.|(?=lm_head\.))?")
OTHER_PARTS = (
    r"(model\.)?(vision_tower|vision_model|visual|audio_tower|multi_modal_projector|embed_vision|embed_audio)"
    r"\..*",
)
_TIED = "tie_word_embeddings"
_OTHER_CONFIGS = ("architectures", "vision_config", "audio_config", "text_config")


def text_config(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The config of a multimodal model's language model; any other config unchanged.

    Keys that only the outer config has, such as `eos_token_id`, are kept. The head is tied if either of the
    two says so: transformers heeds the outer one, publishers write the inner one. Raises BadModelFile.
    """
    if config.get("text_config") is None:
        return dict(config)
    inner = config["text_config"]
    if not isinstance(inner, dict):
        raise BadModelFile(f"{where}: `text_config` is {str(inner)[:60]!r}; it must be an object")
    outer = {key: value for key, value in config.items() if key not in _OTHER_CONFIGS}
    default = {"model_type": f"{config.get('model_type')}_text"}
    merged = outer | default | {key: value for key, value in inner.items() if value is not None}
    return merged | ({_TIED: True} if config.get(_TIED) is True else {})


def text_name(name: str) -> str:
    """The name of a tensor in a text model: "model.layers.0..." for "language_model.model.layers.0..."."""
    found = _TEXT.match(name)
    if found is None:
        return name
    rest = name[found.end() :]
    return rest if rest.startswith("lm_head.") else f"model.{rest}"
