"""Save and load conversations: versioned JSON, checked field by field, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput, DiskError
from zeropoint.files.json_text import read_json

__all__ = ["Message", "read", "write"]

Message = dict[str, str]
"""{"role": "system", "user" or "assistant", "content": text}."""

_FORMAT, _VERSION = "zeropoint-conversation", 1
_MAX_FILE_BYTES = 64 << 20


def read(path: Path) -> list[Message]:
    """Read the messages of a saved conversation. Raises BadInput naming file and field."""
    content = _parse(path)
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise BadInput(f"{path}: `format` is not {_FORMAT}; load a file that /save wrote")
    if content.get("version") != _VERSION:
        raise BadInput(f"{path}: `version` must be {_VERSION}; update zeropoint to load it")
    messages = content.get("messages")
    if not isinstance(messages, list):
        raise BadInput(f"{path}: `messages` is not a list; the file is damaged")
    has_system = bool(messages) and isinstance(messages[0], dict) and messages[0].get("role") == "system"
    if (len(messages) - has_system) % 2:
        raise BadInput(f"{path}: `messages` ends with a question that has no answer; the file is damaged")
    roles = ["system"] * has_system + ["user", "assistant"] * (len(messages) // 2)
    for position, (message, role) in enumerate(zip(messages, roles, strict=True)):
        if not isinstance(message, dict) or message.get("role") != role:
            raise BadInput(f"{path}: `messages[{position}].role` must be {role}; the file is damaged")
        if not isinstance(message.get("content"), str):
            raise BadInput(f"{path}: `messages[{position}].content` must be a text; the file is damaged")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def write(path: Path, messages: list[Message]) -> None:
    """Write the messages atomically: a crash leaves the old file or the new one.

    Raises BadInput rather than overwrite a file that is not a saved conversation; DiskError.
    """
    if path.exists():
        try:
            read(path)
        except BadInput:
            raise BadInput(f"{path} exists and is not a saved conversation; choose another name") from None
    from zeropoint.files.atomic_write import atomic_file, write_file  # here: loading a model writes no files

    content = {"format": _FORMAT, "version": _VERSION, "messages": messages}
    try:
        text = json.dumps(content, ensure_ascii=False, indent=1).encode()
    except UnicodeEncodeError as error:
        raise DiskError(f"cannot write {path} ({error.reason}); reset the conversation") from None
    # Readable by the owner only: conversations are private.
    with atomic_file(path, need_bytes=len(text), mode=0o600) as temporary, write_file(temporary) as file:
        file.write(text)


def _parse(path: Path) -> Any:
    try:
        return read_json(path, _MAX_FILE_BYTES)
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}; check the name") from None
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}); check its name and permissions") from None
    except ValueError:
        raise BadInput(f"{path} is not JSON; load a file that /save wrote") from None
