"""An instruction with its answer as one document, in the words of Stanford Alpaca (Taori et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping

from zeropoint.errors import BadInput

__all__ = ["is_instruction", "prompt_and_completion", "prompt_text"]


def is_instruction(record: Mapping[str, object]) -> bool:
    """Whether a record is of that kind: `instruction` and `output`, with or without `input`."""
    return "instruction" in record and "output" in record


def prompt_text(instruction: str, given: str = "") -> str:
    """What stands before the answer. given: what the instruction is to be done with."""
    task = "an instruction that describes a task" + (", paired with an input" if given else "")
    parts = [f"Below is {task}. Write a response that does what it asks.", f"### Instruction:\n{instruction}"]
    if given:
        parts.append(f"### Input:\n{given}")
    return "\n\n".join([*parts, "### Response:\n"])


def prompt_and_completion(record: Mapping[str, object], where: str) -> tuple[str, str]:
    """What is given, and what is to be said. Raises BadInput naming `where` and the field that is no text."""
    found = {name: record.get(name, "") for name in ("instruction", "input", "output")}
    texts = {name: text for name, text in found.items() if isinstance(text, str)}
    for name in found.keys() - texts.keys():
        raise BadInput(f"{where}: `{name}` must be a text, not {type(found[name]).__name__}")
    return prompt_text(texts["instruction"], texts["input"]), texts["output"]
