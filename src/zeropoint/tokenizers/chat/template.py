"""Chat templates: messages to the one text that a model was trained to read.

A template is a jinja2 program. The model's own comes with its file and is not trusted: it is rendered in
a process that can be killed (`template_worker.py`). Templates of ours lie in `templates/`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zeropoint.errors import BadInput, BadModelFile, choices
from zeropoint.tokenizers.chat.template_process import (
    MAX_REPLY_BYTES,
    DiedError,
    TemplateProcess,
    TimedOutError,
)
from zeropoint.tokenizers.core.metadata_reader import HasMetadata
from zeropoint.tokenizers.core.sanitize import check_unicode, printable
from zeropoint.tokenizers.core.tokenizer import Tokenizer

_FOLDER = Path(__file__).with_name("templates")
RENDER_S = 2.0  # wall clock for one render; an ordinary one takes a millisecond
MAX_INPUT_BYTES = 32 << 20
MAX_SOURCE_BYTES = 1 << 20
ROLES = ("assistant", "developer", "function", "ipython", "system", "tool", "user")
RESERVED = ("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", "self")


def template_names() -> list[str]:
    """Names of the built-in templates, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.jinja"))


def load_template(model: HasMetadata, tokenizer: Tokenizer, name: str | None = None) -> ChatTemplate:
    """The model's own chat template, or the built-in one called `name`.

    Raises BadInput where there is none or the name is unknown, BadModelFile where the model's is no text.
    """
    if name is not None:
        if name not in template_names():
            raise BadInput(printable(choices("chat template", name[:60], template_names())))
        source: Any = (_FOLDER / f"{name}.jinja").read_text("utf-8")
    else:
        source = model.metadata.get("tokenizer.chat_template")
        if source is None:
            raise BadInput(
                "this model has no chat template; name one with "
                f"`--template {'|'.join(template_names())}` or use `generate` for plain completion"
            )
        if not isinstance(source, str):
            raise BadModelFile(
                f"tokenizer.chat_template: a string is needed, not {type(source).__name__}; "
                "name a template with --template"
            )
    return ChatTemplate(
        source, tokenizer.token_text(tokenizer.bos_id), tokenizer.token_text(tokenizer.eos_id)
    )


class ChatTemplate:
    """One template and the process that renders it, started at once so that it is ready when needed.

    source: the jinja2 text; compiled at the first render or `check`. bos_token, eos_token: as the template
    sees them. Close it, or use it as a context manager; it also ends with this process. Thread-safe.
    """

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "") -> None:
        self.source = check_unicode(source, "the chat template")
        if len(source.encode()) > MAX_SOURCE_BYTES:
            raise BadInput(f"the chat template is longer than {MAX_SOURCE_BYTES >> 20} MiB; name one of ours")
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._lock = threading.Lock()
        self._compiled = False
        self._process: TemplateProcess | None = self._start()

    def check(self) -> None:
        """Compile the template. Raises BadInput with the line at fault."""
        with self._lock:
            self._loaded()

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **kwargs: Any,
    ) -> str:
        """The text of a conversation. Raises BadInput on bad messages and on whatever the template does.

        messages: dicts with `role` and `content`. add_generation_prompt: end with the opening of an answer.
        kwargs: scalars that the template may look at.
        """
        check_messages(messages)
        variables = (
            {"messages": messages, "tools": tools, "documents": None} | _checked(kwargs) | self._tokens
        )
        variables["add_generation_prompt"] = bool(add_generation_prompt)
        try:
            body = json.dumps(variables, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BadInput("a message has a lone surrogate; give text that is valid Unicode") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput(f"the messages are not plain JSON values ({printable(str(error), 100)})") from None
        if len(body) > MAX_INPUT_BYTES:
            raise BadInput(f"the messages are {len(body)} bytes; at most {MAX_INPUT_BYTES} are taken")
        with self._lock:
            return self._ask(self._loaded(), b"R", body).decode()

    def close(self) -> None:
        """End the process; a later render starts a new one."""
        process, self._process, self._compiled = self._process, None, False
        if process is not None:
            process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> TemplateProcess:
        self._compiled = False
        return TemplateProcess.take()

    def _loaded(self) -> TemplateProcess:
        """A worker of this very process, with the template compiled in it."""
        process = self._process
        if process is None or process.owner != os.getpid():
            process = self._process = self._start()
        if not self._compiled:
            self._ask(process, b"L", self.source.encode())
            self._compiled = True
        return process

    def _ask(self, process: TemplateProcess, kind: bytes, body: bytes) -> bytes:
        """One question to the worker; a worker that failed is gone and the next question starts another."""
        try:
            status, reply = process.ask(kind, body, RENDER_S)
        except TimedOutError:
            self._forget()
            raise BadInput(
                f"the chat template did not finish within {RENDER_S:.0f} s and was stopped; "
                "name another with --template"
            ) from None
        except DiedError:
            self._forget()
            raise BadInput(
                "the chat template used up its memory or time and was stopped; name another with --template"
            ) from None
        except BaseException:
            self._forget()
            raise
        if status != b".":
            raise BadInput(_sentence(json.loads(reply)))
        return reply

    def _forget(self) -> None:
        self._process, self._compiled = None, False


def check_messages(messages: object) -> None:
    """Raise BadInput unless `messages` is a non-empty list of messages with known roles and a content."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise BadInput("a chat needs a list of at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise BadInput(f"message {index} must be an object with role and content")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            shown = printable(str(role), 60)
            raise BadInput(f"message {index}: {choices('role', shown, ROLES)}")
        has_other = content is None and (message.get("tool_calls") or message.get("function_call"))
        if not isinstance(content, (str, list)) and not has_other:
            raise BadInput(
                f"message {index} ({role}): content must be a string, not {type(content).__name__}"
            )


def _checked(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Extra variables, if a template may have them."""
    for name, value in kwargs.items():
        if name in RESERVED:
            raise BadInput(f"a template variable may not be called `{name}`")
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise BadInput(
                f"template variable `{printable(name, 60)}` must be a string, number or true/false, "
                f"not {type(value).__name__}"
            )
    return kwargs


def _sentence(failure: dict[str, Any]) -> str:
    """What went wrong in the worker, in one line."""
    kind, message, line = failure["kind"], printable(failure["message"]), failure["line"]
    if kind == "RefusedError":
        return f"the chat template refuses these messages: {message}"
    if kind == "TooLongError":
        return f"the chat template's output passed {MAX_REPLY_BYTES >> 20} MiB and was stopped"
    where = f" in line {line}" if line else ""
    return f"the chat template failed{where} ({kind}: {message}); name another with --template"
