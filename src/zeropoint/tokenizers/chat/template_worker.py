"""The process that renders a chat template: a separate program with only the standard library and jinja2.

A template comes with a model file, so it is an untrusted program. jinja2's sandbox protects our objects but
stops neither an endless loop nor a huge string (vLLM, CVE-2025-61620). This process has no environment, no
files other than its pipes, limits on memory and CPU time, and a parent that kills it.

`template_process.py` starts it with the folders of this file, jinja2 and markupsafe on the search path.
Frames on both pipes: one byte of kind, four of length (little endian), then the body. Input: L (load UTF-8
source), R (render with JSON variables). Output: "." success (rendered text), "!" failure (JSON: kind,
message, line).
"""

from __future__ import annotations

import functools
import json
import re
import struct
import sys
from datetime import datetime
from types import ModuleType
from typing import Any, BinaryIO

MAX_OUTPUT_BYTES = 8 << 20
MAX_POWER_BITS = 1 << 12
MAX_WIDTH = 10_000  # of indentation and centred text
MEMORY_BYTES = 512 << 20  # address space; Python and jinja2 need about 60 MiB
_ADDRESS = re.compile(r" at 0x[0-9a-f]{4,}", re.IGNORECASE)
CPU_S = 3  # per frame; a backstop if the parent, which kills the worker after 2 s, is gone


class TooLongError(Exception):
    """The output exceeded MAX_OUTPUT_BYTES."""


class RefusedError(Exception):
    """The template called raise_exception."""


class PrintedObjectError(Exception):
    """The output has the memory address of an object, such as a filter's generator."""


def main() -> None:
    """Serve frames until the parent closes the pipe."""
    frames, out = sys.stdin.buffer, sys.stdout.buffer
    environment = make_environment()
    limit_process()
    _write(out, b".", b"")
    template: Any = None
    source = ""
    while len(head := frames.read(5)) == 5:
        kind, length = struct.unpack("<cI", head)
        body = frames.read(length)
        limit_cpu()
        try:
            if kind == b"L":
                source = body.decode()
                template = environment.from_string(source)
                reply = b""
            else:
                text = render(template, json.loads(body))
                check_addresses(text, source, body.decode())
                reply = text.encode()
        except Exception as error:
            _write(out, b"!", json.dumps(describe(error)).encode())
        else:
            _write(out, b".", reply)


def make_environment() -> Any:
    """The jinja2 environment that published chat templates expect (that of transformers)."""
    # jinja2's bytecode cache imports pickle, tempfile and OpenSSL, a fifth of the start-up time; stub it out.
    unused = ModuleType("jinja2.bccache")
    vars(unused)["__getattr__"] = lambda name: object
    sys.modules[unused.__name__] = unused

    from jinja2 import nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """`{% generation %}`, which marks the assistant's text for training, renders its body."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    class PlainNamespace(Namespace):
        """`namespace` that rejects names beginning with an underscore."""

        def __init__(*args: Any, **kwargs: Any) -> None:
            for name in dict(*args[1:], **kwargs):
                _check_name(name)
            Namespace.__init__(*args, **kwargs)

        def __setitem__(self, name: str, value: Any) -> None:
            _check_name(name)
            super().__setitem__(name, value)

    def _check_name(name: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"a namespace may not hold {name!r}")

    class BoundedEnvironment(ImmutableSandboxedEnvironment):
        """Refuses an operation whose result would be longer than any output, before it takes memory."""

        intercepted_binops = frozenset(("*", "+", "%", "**"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            check_operands(operator, left, right)
            result = super().call_binop(context, operator, left, right)
            return check_length(result)

    environment = BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.globals["namespace"] = PlainNamespace
    set_functions(environment)
    return environment


def set_functions(environment: Any) -> None:
    """Set the functions and filters of chat templates; remove or bound some of jinja2's."""
    for name in ("lipsum", "cycler", "joiner"):  # useless in a prompt
        environment.globals.pop(name, None)
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    environment.filters["tojson"] = tojson
    for name in ("center", "indent", "replace", "tojson"):  # those that can lengthen a text without limit
        environment.filters[name] = bounded(environment.filters[name])


def raise_exception(message: object = "") -> None:
    """Called by a template to reject messages."""
    raise RefusedError(str(message)[:1000])


def strftime_now(style: str) -> str:
    """The local time, for templates that contain the date."""
    return datetime.now().strftime(style)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON without jinja2's HTML escaping."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def render(template: Any, variables: dict[str, Any]) -> str:
    """The rendered text. Raises TooLongError as soon as it exceeds MAX_OUTPUT_BYTES."""
    chunks, n_bytes = [], 0
    for chunk in template.generate(**variables):
        n_bytes += len(chunk) if chunk.isascii() else len(chunk.encode())
        if n_bytes > MAX_OUTPUT_BYTES:
            raise TooLongError
        chunks.append(chunk)
    return "".join(chunks)


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Raise TooLongError for a repeated text beyond MAX_OUTPUT_BYTES, OverflowError for a huge power."""
    if operator == "**" and isinstance(left, int) and isinstance(right, int):
        if left.bit_length() * right > MAX_POWER_BITS:
            raise OverflowError(f"{left} ** {right} is too large"[:100])
    elif operator == "*":
        text, count = (left, right) if hasattr(left, "__len__") else (right, left)
        if hasattr(text, "__len__") and isinstance(count, int) and len(text) * count > MAX_OUTPUT_BYTES:
            raise TooLongError


def check_length(value: Any) -> Any:
    """The value. Raises TooLongError if it is a string longer than MAX_OUTPUT_BYTES."""
    if isinstance(value, str) and len(value) > MAX_OUTPUT_BYTES:
        raise TooLongError
    return value


def bounded(function: Any) -> Any:
    """A filter that refuses to widen a text by more than MAX_WIDTH, or beyond MAX_OUTPUT_BYTES."""

    @functools.wraps(function)  # keeps jinja2's mark of filters that receive the environment
    def call(*args: Any, **kwargs: Any) -> Any:
        widths = (*args[1:], *kwargs.values()) if args and isinstance(args[0], (str, dict, list)) else ()
        if any(isinstance(value, int) and value > MAX_WIDTH for value in widths):
            raise TooLongError
        return check_length(function(*args, **kwargs))

    return call


def check_addresses(text: str, source: str, variables: str) -> None:
    """Raise PrintedObjectError if the text has the address of an object that is not in its inputs.

    Such a text would differ in every process. source: the template; variables: as JSON.
    """
    found = {match[0].lower(): match.start() for match in _ADDRESS.finditer(text)}
    if not found:
        return
    for part in (source, variables):
        for match in _ADDRESS.finditer(part):
            found.pop(match[0].lower(), None)
    for start in found.values():
        begin = max(text.rfind("<", 0, start), start - 100, 0)
        raise PrintedObjectError(f"an object ({text[begin:start]}>)")


def describe(error: Exception) -> dict[str, Any]:
    """The error's kind, message and line, from which the parent composes a message."""
    kind = type(error).__name__
    if isinstance(error, json.JSONDecodeError):
        kind = "json"
    try:
        message = str(error)[:1000]
    except Exception:
        message = ""
    return {"kind": kind, "message": message, "line": getattr(error, "lineno", None)}


def limit_process() -> None:
    """Permanent limits: memory, no file writes, no core dump."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the parent's timeout still applies
        return
    for kind, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def limit_cpu() -> None:
    """Allow CPU_S more seconds of CPU time, after which the system kills this process."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + CPU_S, hard))


def _write(out: BinaryIO, kind: bytes, body: bytes) -> None:
    out.write(struct.pack("<cI", kind, len(body)) + body)
    out.flush()
