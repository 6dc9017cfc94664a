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

import json
import struct
import sys
from datetime import datetime
from types import ModuleType
from typing import Any, BinaryIO

MAX_OUTPUT_BYTES = 8 << 20
MEMORY_BYTES = 512 << 20  # address space; Python and jinja2 need about 60 MiB
CPU_S = 3  # per frame; a backstop if the parent, which kills the worker after 2 s, is gone


class TooLongError(Exception):
    """The output exceeded MAX_OUTPUT_BYTES."""


class RefusedError(Exception):
    """The template called raise_exception."""


def main() -> None:
    """Serve frames until the parent closes the pipe."""
    frames, out = sys.stdin.buffer, sys.stdout.buffer
    environment = make_environment()
    limit_process()
    _write(out, b".", b"")
    template: Any = None
    while len(head := frames.read(5)) == 5:
        kind, length = struct.unpack("<cI", head)
        body = frames.read(length)
        limit_cpu()
        try:
            if kind == b"L":
                template = environment.from_string(body.decode())
                reply = b""
            else:
                reply = render(template, json.loads(body)).encode()
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

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    for name in ("lipsum", "cycler", "joiner"):  # useless in a prompt
        environment.globals.pop(name, None)
    environment.globals.update(
        raise_exception=raise_exception, strftime_now=strftime_now, namespace=PlainNamespace
    )
    environment.filters["tojson"] = tojson
    return environment


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
