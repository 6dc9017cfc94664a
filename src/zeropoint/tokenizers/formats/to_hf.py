"""Convert GGUF metadata to the tokenizer files of a Hugging Face folder.

`tokenizer.json` is the library's serialized tokenizer plus what transformers needs besides encoding: the
decoder and the post-processor that adds BOS. `tokenizer_config.json` names the special tokens and the chat
template.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.metadata_reader import HasMetadata
from zeropoint.tokenizers.core.pipeline import SPACE
from zeropoint.tokenizers.core.tokenizer import Tokenizer

if TYPE_CHECKING:
    import tokenizers

__all__ = ["hf_tokenizer_files"]


def hf_tokenizer_files(model: HasMetadata, tokenizer: Tokenizer, n_ctx: int) -> dict[str, bytes]:
    """{file name: content} of `tokenizer.json` and `tokenizer_config.json`. Raises BadInput for RWKV's."""
    import tokenizers

    if tokenizer.spelling == "bytes":
        raise BadInput("a tokenizer.json cannot express RWKV's tokenizer; convert to a GGUF file instead")
    hf_tokenizer = tokenizers.Tokenizer.from_str(tokenizer.hf_tokenizer.to_str())
    _set_decoder(hf_tokenizer, tokenizer)
    if tokenizer.sep_id is not None:
        _set_bert_post_processor(hf_tokenizer, tokenizer)
    else:
        _set_ends(hf_tokenizer, tokenizer, model.metadata.get("tokenizer.ggml.add_eos_token") is True)
    config = json.dumps(_config(model, tokenizer, n_ctx), indent=2, ensure_ascii=False)
    return {
        "tokenizer.json": hf_tokenizer.to_str(pretty=True).encode(),
        "tokenizer_config.json": config.encode(),
    }


def _config(model: HasMetadata, tokenizer: Tokenizer, n_ctx: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": n_ctx,
        "add_bos_token": tokenizer.add_bos,
    }
    for name in ("bos", "eos", "unk", "pad"):
        index = getattr(tokenizer, f"{name}_id")
        if index is not None:
            config[f"{name}_token"] = tokenizer.token_text(index)
    template = model.metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        config["chat_template"] = template
    return config


def _set_decoder(hf_tokenizer: tokenizers.Tokenizer, tokenizer: Tokenizer) -> None:
    """Set the library's decoder. Words need none: it puts a space between tokens."""
    from tokenizers import decoders

    if tokenizer.kind == "bert":
        hf_tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    elif tokenizer.spelling == "byte_level":
        hf_tokenizer.decoder = decoders.ByteLevel()
    elif tokenizer.spelling == "characters":
        hf_tokenizer.decoder = decoders.Fuse()
    elif tokenizer.spelling == "sentencepiece" and tokenizer.kind == "llama":
        steps: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        steps += [decoders.Strip(content=" ", left=1)] if tokenizer.add_space_prefix else []
        hf_tokenizer.decoder = decoders.Sequence(steps)
    elif tokenizer.spelling == "sentencepiece":
        scheme = "always" if tokenizer.add_space_prefix else "never"
        hf_tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme=scheme)


def _set_ends(hf_tokenizer: tokenizers.Tokenizer, tokenizer: Tokenizer, add_eos: bool) -> None:
    """BOS before and EOS after a document, if any; with BOS, the second text has token type 1."""
    from tokenizers import processors

    ends = [(tokenizer.bos_id, tokenizer.add_bos), (tokenizer.eos_id, add_eos)]
    begin, end = (
        [tokenizer.token_text(index)] if is_added and index is not None else [] for index, is_added in ends
    )
    if not begin and not end:
        return
    kind = ":1" if begin else ""
    second = [f"{token}{kind}" for token in (*begin, "$B", *end)]
    hf_tokenizer.post_processor = processors.TemplateProcessing(
        single=[*begin, "$A", *end],
        pair=[*begin, "$A", *end, *second],
        special_tokens=[(tokenizer.token_text(index), index) for index, _ in ends if index is not None],
    )


def _set_bert_post_processor(hf_tokenizer: tokenizers.Tokenizer, tokenizer: Tokenizer) -> None:
    """BERT's [CLS] and [SEP], subject to the flags; the second text has token type 1."""
    from tokenizers import processors

    ends = [(tokenizer.bos_id, tokenizer.add_bos), (tokenizer.sep_id, tokenizer.add_sep)]
    begin, end = ([tokenizer.token_text(index)] if is_added else [] for index, is_added in ends)
    single = [*begin, "$A", *end]
    hf_tokenizer.post_processor = processors.TemplateProcessing(
        single=single,
        pair=[*single, "$B:1", *(f"{token}:1" for token in end)],
        special_tokens=[(tokenizer.token_text(index), index) for index, _ in ends if index is not None],
    )
