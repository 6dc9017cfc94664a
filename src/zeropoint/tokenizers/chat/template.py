"""Chat templates: render messages to the text format that a model was trained on.

A template is a jinja2 program. A model's own template comes with its file and is untrusted, so it is rendered
in a process that can be killed (`template_worker.py`). Built-in templates are in `templates/`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from zeropoint.errors import BadInput, BadModelFile, MachineError, choices
from zeropoint.tokenizers.chat.message_forms import with_reasoning
from zeropoint.tokenizers.chat.system_prompt import MERGED_NOTICE, TemplateFailedError, render_system_prompt
from zeropoint.tokenizers.chat.template_process import (
    MAX_REPLY_BYTES,
    DiedError,
    NotStartedError,
    TemplateProcess,
    TimedOutError,
)
from zeropoint.tokenizers.core.metadata_reader import HasMetadata
from zeropoint.tokenizers.core.sanitize import check_unicode, printable
from zeropoint.tokenizers.core.tokenizer import Tokenizer

_FOLDER = Path(__file__).with_name("templates")
RENDER_S = 2.0  # wall-clock limit for one render; a typical one takes a millisecond
MAX_INPUT_BYTES = 32 << 20
MAX_SOURCE_BYTES = 1 << 20
ROLES = ("assistant", "developer", "function", "ipython", "system", "tool", "user")
RESERVED = ("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", "self")


def template_names() -> list[str]:
    """The names of the built-in templates, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.jinja"))


def load_template(model: HasMetadata, tokenizer: Tokenizer, name: str | None = None) -> ChatTemplate:
    """The model's own chat template, or the built-in one named `name`.

    Raises BadInput if there is none or the name is unknown, BadModelFile if the model's is not a string.
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
                f"tokenizer.chat_template must be a string, not {type(source).__name__}; "
                "name a template with --template"
            )
    # A built-in template serves many models; the file says whether this one begins with BOS.
    bos = tokenizer.token_text(tokenizer.bos_id) if name is None or tokenizer.add_bos else ""
    return ChatTemplate(source, bos, tokenizer.token_text(tokenizer.eos_id))


class ChatTemplate:
    """A template and the process that renders it, which starts immediately to be ready when needed.

    source: jinja2 source, compiled at the first render or `check`. bos_token, eos_token: variables of the
    template. Close it, or use it as a context manager; it also ends with this process. Thread-safe.
    """

    def __init__(self, source: str, bos_token: str = "", eos_token: str = "") -> None:
        self.source = check_unicode(source, "the chat template")
        if len(source.encode()) > MAX_SOURCE_BYTES:
            raise BadInput(
                f"the chat template is longer than {MAX_SOURCE_BYTES >> 20} MiB; name a built-in one"
            )
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._lock = threading.Lock()
        self._compiled = False
        self._process: TemplateProcess | None = self._start()

    def check(self) -> None:
        """Compile the template. Raises BadInput naming the line at fault."""
        self._request(None)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        notify: Callable[[str], None] | None = None,
        **kwargs: Any,
    ) -> str:
        """The text of a conversation. Raises BadInput on invalid messages and on any failure of the template.

        messages: dicts with `role` and `content`. A system message for which the template has no place
        becomes part of the user message after it, and notify gets a sentence that says so.
        add_generation_prompt: end with the header of the assistant's reply. kwargs: additional scalar
        variables for the template.
        """
        check_messages(messages)
        messages = [with_reasoning(message) for message in messages]
        variables = {"tools": tools, "documents": None} | _checked(kwargs) | self._tokens
        variables["add_generation_prompt"] = bool(add_generation_prompt)
        text, is_merged = render_system_prompt(
            messages, lambda placed: self._request(to_json(variables | {"messages": placed}))
        )
        if is_merged and notify is not None:
            notify(MERGED_NOTICE)
        return text

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

    def _request(self, variables: bytes | None) -> str:
        """Compile the template if necessary and render it, unless there are no variables.

        A worker that has been killed, for example because memory was short, is replaced once.
        """
        with self._lock:
            try:
                return self._attempt(variables)
            except DiedError:
                pass
            try:
                return self._attempt(variables)
            except NotStartedError:
                raise MachineError(
                    "the chat template's worker process did not start; "
                    "check that jinja2 is installed for this Python and that memory is available"
                ) from None
            except DiedError:
                raise BadInput(
                    "the chat template exceeded its memory or CPU limit and was stopped; "
                    "name another with --template"
                ) from None

    def _attempt(self, variables: bytes | None) -> str:
        """One attempt of `_request`. Raises DiedError, MachineError, BadInput."""
        process = self._process
        if process is None or process.owner != os.getpid():
            process = self._process = self._start()
        if not self._compiled:
            self._exchange(process, b"L", self.source.encode())
            self._compiled = True
        return "" if variables is None else self._exchange(process, b"R", variables).decode()

    def _exchange(self, process: TemplateProcess, kind: bytes, body: bytes) -> bytes:
        """Send one frame to the worker. If it fails, drop the worker; the next attempt starts another."""
        try:
            status, reply = process.request(kind, body, RENDER_S)
        except TimedOutError:
            self._drop_worker()
            raise BadInput(
                f"the chat template did not finish within {RENDER_S:.0f} s and was stopped; "
                "name another with --template"
            ) from None
        except BaseException:
            self._drop_worker()
            raise
        if status != b".":
            raise TemplateFailedError(_error_message(json.loads(reply)))
        return reply

    def _drop_worker(self) -> None:
        self._process, self._compiled = None, False


def check_messages(messages: object) -> None:
    """Raise BadInput unless `messages` is a non-empty list of messages with known roles and content."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise BadInput("a chat needs a list of at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise BadInput(f"message {index} must be an object with role and content")
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            shown = printable(str(role), 60)
            raise BadInput(f"message {index}: {choices('role', shown, ROLES)}")
        has_call = content is None and (message.get("tool_calls") or message.get("function_call"))
        if not isinstance(content, (str, list)) and not has_call:
            raise BadInput(
                f"message {index} ({role}): content must be a string, not {type(content).__name__}"
            )


def to_json(values: Any) -> bytes:
    """Messages and variables as UTF-8 JSON. Raises BadInput if that is impossible or too long."""
    try:
        body = json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadInput("a message has a lone surrogate; give text that is valid Unicode") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"the messages must be plain JSON values ({printable(str(error), 100)})") from None
    if len(body) > MAX_INPUT_BYTES:
        raise BadInput(f"the messages have {len(body)} bytes; the limit is {MAX_INPUT_BYTES}")
    return body


def _checked(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The additional variables. Raises BadInput for reserved names and values other than scalars."""
    for name, value in kwargs.items():
        if name in RESERVED:
            raise BadInput(f"the template variable name `{name}` is reserved; choose another")
        if value is not None and not isinstance(value, (str, int, float, bool)):
            raise BadInput(
                f"template variable `{printable(name, 60)}` must be a string, number or true/false, "
                f"not {type(value).__name__}"
            )
    return kwargs


def _error_message(failure: dict[str, Any]) -> str:
    """One line that describes a failure in the worker."""
    kind, message, line = failure["kind"], printable(failure["message"]), failure["line"]
    if kind == "RefusedError":
        return f"the chat template rejects these messages: {message}"
    if kind == "TooLongError":
        return f"the chat template's output exceeded {MAX_REPLY_BYTES >> 20} MiB and was stopped"
    if kind == "MemoryError":
        return "the chat template exceeded its memory limit and was stopped; name another with --template"
    if kind == "PrintedObjectError":
        return f"the chat template prints {message} instead of text; name another with --template"
    where = f" in line {line}" if line else ""
    return f"the chat template failed{where} ({kind}: {message}); name another with --template"
