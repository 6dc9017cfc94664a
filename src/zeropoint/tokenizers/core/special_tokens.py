"""Special tokens recognized by their spelling.

Many published files type such tokens as normal or user-defined, or name one end token where the model has
several. The tokens that end a reply are those that llama.cpp recognizes (`src/llama-vocab.cpp`,
`special_eog_ids`), with its two exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "END_OF_MESSAGE",
    "END_OF_TEXT",
    "chat_token_ids",
    "end_of_document_id",
    "end_of_turn_id",
    "end_token_ids",
]

END_OF_TEXT = "<|endoftext|>"  # GPT-2's separator between documents
END_OF_MESSAGE = "<|eom_id|>"  # Llama 3: the model waits for the result of a tool
# The end of a document, in order of preference.
_END_OF_DOCUMENT = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
# The end of one message of a chat, the most specific spelling first.
_END_OF_TURN = ("<|eot_id|>", "<|im_end|>", "<end_of_turn>", "<turn|>", "<|end|>", "<end_of_utterance>")
_OTHER_ENDS = (
    *(END_OF_TEXT, END_OF_MESSAGE, "<|end_of_text|>", "</s>", "<eos>", "[EOS]", "<EOT>", "_<EOT>", "[EOT]"),
    *(
        "<｜end▁of▁sentence｜>",
        "<|return|>",
        "<|call|>",
        "<|calls|>",
        "<|flush|>",
        "<|tool_response>",
        "[e~[",
    ),
    # The end of a file in training data of code.
    *("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|file_sep|>"),
    *("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
)
# Tokens that begin a message or its text.
_CHAT_MARKERS = (
    *("<|im_start|>", "<|im_sep|>", "<start_of_turn>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "[INST]", "[/INST]"),
)


def end_token_ids(ids: Mapping[str, int]) -> frozenset[int]:
    """Ids of the tokens that end a reply, from a vocabulary's ids by token."""
    excluded = _not_an_end(ids)
    return frozenset(ids[text] for text in (*_END_OF_TURN, *_OTHER_ENDS) if text in ids and text != excluded)


def end_of_turn_id(ids: Mapping[str, int]) -> int | None:
    """Id of the token that ends a message of a chat (GGUF's `eot_token_id`), if the vocabulary has one."""
    excluded = _not_an_end(ids)
    return next((ids[text] for text in _END_OF_TURN if text in ids and text != excluded), None)


def end_of_document_id(control: Mapping[str, int]) -> int | None:
    """Id of the token that ends documents in training, for a vocabulary that names none.

    control: the ids of its control tokens.
    """
    return next((control[text] for text in _END_OF_DOCUMENT if text in control), None)


def chat_token_ids(ids: Mapping[str, int]) -> frozenset[int]:
    """Ids of the tokens that only a chat template may produce: ends, and beginnings of messages."""
    return end_token_ids(ids) | {ids[text] for text in _CHAT_MARKERS if text in ids}


def _not_an_end(ids: Mapping[str, int]) -> str | None:
    """A token that ends replies of other models but not of this one."""
    if "<|end|>" in ids and (
        {"<|return|>", "<|call|>"} <= ids.keys() or {"<|calls|>", "<|flush|>"} <= ids.keys()
    ):
        return "<|end|>"  # gpt-oss and Solar separate the channels of one reply with it
    if "</s>" in ids and ("<|tool_response>" in ids or "<|plamo:eos|>" in ids):
        return "</s>"  # a piece of text in Gemma 4 and PLaMo
    return None
