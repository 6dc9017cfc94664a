"""From conversations to token ids, and which of them are answers.

An answer is what the chat template adds for it: its text and the token that ends the turn. The template is
rendered before and after each answer; where the first rendering does not begin the second, the template
rewrites earlier turns and only the last answer can be learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from zeropoint.convert.model_metadata import gguf_metadata
from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.prompt import encode_chat
from zeropoint.tokenizers.chat.template import ChatTemplate, load_template
from zeropoint.tokenizers.core.metadata_reader import HasMetadata
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.tune.examples import Example, Messages
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.writer import TypedValue
from zeropoint.weights.open_model import OpenedModel

__all__ = ["Encoded", "Encoder", "encode_examples"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A conversation: ids [T], and for each whether it is part of an answer to learn."""

    ids_T: NDArray[np.int64]
    is_answer_T: NDArray[np.bool_]


class Encoder:
    """The tokenizer and chat template of a model; a model without a template reads prompt and answer as text.

    template: the name of a built-in one to use instead. Close it, or use it as a context manager.
    """

    def __init__(self, opened: OpenedModel, template: str | None = None) -> None:
        """Raises BadInput for a model without a tokenizer, or an unknown template."""
        source = _metadata(opened)
        if "tokenizer.ggml.tokens" not in source.metadata:
            raise BadInput("the model has no tokenizer; give a GGUF file or folder that contains one")
        self.tokenizer: Tokenizer = load_tokenizer(source)
        has_template = template is not None or "tokenizer.chat_template" in source.metadata
        self.template: ChatTemplate | None = None
        if has_template:
            self.template = load_template(source, self.tokenizer, template)

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, *error: object) -> None:
        if self.template is not None:
            self.template.close()

    def encode(self, messages: Messages, learns_all: bool) -> Encoded:
        """The ids of a conversation. Raises BadInput for a template that does not mark answers."""
        if self.template is None:
            return self._plain(messages)
        full = encode_chat(self.tokenizer, self.template, messages, add_generation_prompt=False)
        is_answer_T = np.zeros(len(full), bool)
        for i, message in enumerate(messages):
            is_last = i == len(messages) - 1
            if message["role"] != "assistant" or not (is_last or learns_all):
                continue
            before = encode_chat(self.tokenizer, self.template, messages[:i])
            after = (
                full
                if is_last
                else encode_chat(
                    self.tokenizer, self.template, messages[: i + 1], add_generation_prompt=False
                )
            )
            if full[: len(before)] == before and full[: len(after)] == after:
                is_answer_T[len(before) : len(after)] = True
            elif is_last:
                raise BadInput(
                    "the chat template does not mark where the assistant's answer begins; name another with "
                    "--template"
                )
        return Encoded(np.array(full, np.int64), is_answer_T)

    def _plain(self, messages: Messages) -> Encoded:
        """Prompt and answer as text, and the token that ends a document."""
        tokenizer = self.tokenizer
        if len(messages) != 2 or messages[0]["role"] != "user":
            raise BadInput(
                "the model has no chat template for a conversation; name one with --template, or give "
                "`prompt` and `completion`"
            )
        prompt, answer = (tokenizer.encode(message["content"]) for message in messages)
        if tokenizer.add_bos and tokenizer.bos_id is not None:
            prompt = [tokenizer.bos_id, *prompt]
        if tokenizer.eos_id is not None:
            answer = [*answer, tokenizer.eos_id]
        is_answer = [False] * len(prompt) + [True] * len(answer)
        return Encoded(np.array([*prompt, *answer], np.int64), np.array(is_answer, bool))


def encode_examples(
    encoder: Encoder, examples: Sequence[Example], n_ctx: int, notify: Callable[[str], None]
) -> tuple[list[Example], list[tuple[Encoded, ...]]]:
    """The examples that fit n_ctx tokens, and their ids; notify names the lines that do not.

    Raises BadInput that names the line at fault, or if no example fits.
    """
    kept, encoded, long = [], [], []
    for example in examples:
        try:
            texts = tuple(encoder.encode(c, example.learns_all) for c in example.conversations)
        except BadInput as error:
            raise BadInput(f"line {example.line}: {error}") from None
        if max(len(text.ids_T) for text in texts) > n_ctx + 1:
            long.append(example.line)
            continue
        kept.append(example)
        encoded.append(texts)
    if long:
        lines = ", ".join(map(str, long[:8])) + (", ..." if len(long) > 8 else "")
        sentence = f"{len(long)} of {len(examples)} examples have more than {n_ctx} tokens (lines {lines})"
        if not kept:
            raise BadInput(f"{sentence}; raise --context")
        notify(f"{sentence}; they are left out, which --context changes")
    return kept, encoded


def _metadata(opened: OpenedModel) -> HasMetadata:
    """The model's metadata as a GGUF file has it."""
    if isinstance(opened.file, GgufModel):
        return opened.file
    typed = gguf_metadata(opened, [], lambda text: None)
    plain = {key: value.value if isinstance(value, TypedValue) else value for key, value in typed.items()}
    paths = (opened.file.path,)
    source: HasMetadata = SimpleNamespace(metadata=plain, paths=paths)
    return source
