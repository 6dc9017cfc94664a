"""Typed access to a parsed JSON file: a wrong type is a BadModelFile that names the file and the field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zeropoint.errors import BadModelFile
from zeropoint.tokenizers.core.sanitize import printable

__all__ = ["JsonField"]

_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "an integer"}


class JsonField:
    """A value of a JSON file, and where it is: `JsonField(content, "tokenizer.json")["model"]["vocab"]`.

    value: None if the field is null or missing. path: "model.vocab". name: the file, for messages.
    """

    __slots__ = ("name", "path", "value")

    def __init__(self, value: Any, name: str, path: str = "") -> None:
        self.value = value
        self.name = name
        self.path = path

    def error(self, problem: str) -> BadModelFile:
        """A BadModelFile that names the file and the field."""
        field = f" `{self.path}`" if self.path else ""
        return BadModelFile(f"{self.name}:{field} {printable(problem, 400)}")

    def __getitem__(self, key: str) -> JsonField:
        """A field of an object; one without a value if the object lacks it."""
        path = f"{self.path}.{key}" if self.path else key
        return JsonField(self.as_object().get(key), self.name, path)

    def __bool__(self) -> bool:
        """Whether there is a value other than null."""
        return self.value is not None

    def items(self) -> Iterator[JsonField]:
        """The items of a list; none if the field is missing."""
        for index, item in enumerate(self.as_list()):
            yield JsonField(item, self.name, f"{self.path}[{index}]")

    def as_object(self, *, required: bool = False) -> dict[str, Any]:
        """The value as an object; empty if it is missing and not required."""
        return {} if self.value is None and not required else self._typed(dict)

    def as_list(self, *, required: bool = False) -> list[Any]:
        """The value as a list; empty if it is missing and not required."""
        return [] if self.value is None and not required else self._typed(list)

    def as_text(self, default: str | None = None) -> str:
        """The value as a string of valid Unicode, or `default` if it is missing."""
        if self.value is None and default is not None:
            return default
        text: str = self._typed(str)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.error("is not valid Unicode") from None
        return text

    def as_bool(self, default: bool | None = None) -> bool:
        """The value as a bool, or `default` if it is missing."""
        return default if self.value is None and default is not None else self._typed(bool)

    def as_int(self) -> int:
        """The value as an integer."""
        number: int = self._typed(int)
        return number

    def as_number(self) -> float:
        """The value as a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.error(f"must be a number, not {self._shown()}")
        try:
            number = float(self.value)
        except OverflowError:
            number = float("inf")
        if number - number != 0:
            raise self.error(f"must be a finite number, not {self._shown()}")
        return number

    def _typed(self, kind: type) -> Any:
        if type(self.value) is not kind:
            problem = "is missing" if self.value is None else f"must be {_NAMES[kind]}, not {self._shown()}"
            raise self.error(problem)
        return self.value

    def _shown(self) -> str:
        if isinstance(self.value, (dict, list)):
            return _NAMES[type(self.value)]
        return "null" if self.value is None else printable(f"{self.value!r:.40}", 40)
