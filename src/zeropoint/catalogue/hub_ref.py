"""A reference to a model of a Hugging Face repository; `model_refs.py` parses names into it."""

from __future__ import annotations

from zeropoint.frozen import frozen

__all__ = ["HubRef"]


@frozen
class HubRef:
    """A Hugging Face repository, optionally with the quantization or name of one file, and a revision."""

    repo: str
    quant: str | None = None
    revision: str | None = None
    file: str | None = None

    @property
    def key(self) -> str:
        """The full name, which identifies the model in the cache: the same for every spelling."""
        return str(self)

    @property
    def display_name(self) -> str:
        """The name for messages."""
        return str(self)

    def __str__(self) -> str:
        tail = (self.quant and f":{self.quant}", self.revision and f"@{self.revision}")
        return (
            f"hf:{self.repo}"
            + "".join(part for part in tail if part)
            + (f"#{self.file}" if self.file else "")
        )
