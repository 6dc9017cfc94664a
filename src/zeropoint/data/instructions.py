"""Instructions as prompt and completion, in a template like Stanford Alpaca's (Taori et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping

from zeropoint.errors import BadInput

__all__ = ["is_instruction", "prompt_and_completion", "prompt_text"]


def is_instruction(record: Mapping[str, object]) -> bool:
    """Whether a record has `instruction` and `output` (`input` is optional)."""
    return "instruction" in record and "output" in record


def prompt_text(instruction: str, input: str = "") -> str:
    """The prompt. input: what to apply the instruction to, "" for none."""
    task = "an instruction that describes a task" + (", paired with an input" if input else "")
    parts = [f"Below is {task}. Write a response that does what it asks.", f"### Instruction:\n{instruction}"]
    if input:
        parts.append(f"### Input:\n{input}")
    return "\n\n".join([*parts, "### Response:\n"])


def prompt_and_completion(record: Mapping[str, object], where: str) -> tuple[str, str]:
    """The prompt and completion of a record. Raises BadInput naming `where` and a field that is not text."""
    fields = {name: record.get(name, "") for name in ("instruction", "input", "output")}
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    for name in fields.keys() - texts.keys():
        raise BadInput(f"{where}: `{name}` must be text, not {type(fields[name]).__name__}")
    return prompt_text(texts["instruction"], texts["input"]), texts["output"]
