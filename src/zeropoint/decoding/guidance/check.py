"""Compile a grammar once in a process that can be killed: some crash the compiler, or take all memory."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache

from zeropoint.decoding.guidance.guide import Guide
from zeropoint.errors import BadInput

__all__ = ["check_guide", "one_line"]

_SECONDS = 10
_MEMORY_BYTES = 2 << 30

# The tokens are the single bytes: what a grammar costs to compile does not depend on the vocabulary.
_PROGRAM = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY_BYTES}, {_MEMORY_BYTES}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import llguidance
class Bytes:
    eos_token_id, bos_token_id, special_token_ids = 256, None, [256]
    tokens = [bytes([b]) for b in range(256)] + [b"<end>"]
    def __call__(self, text):
        return list(text if isinstance(text, bytes) else text.encode())
tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))
matcher = llguidance.LLMatcher(tokenizer, sys.stdin.read(), log_level=0)
if not matcher.is_error():
    matcher.compute_bitmask()
sys.stdout.write(matcher.get_error())
"""
_NAMES = {"json_schema": "JSON Schema", "regex": "regular expression", "lark": "grammar"}


@lru_cache(maxsize=256)
def check_guide(guide: Guide) -> str:
    """The compiled form of a guide's grammar. Raises BadInput if it is invalid or too complex."""
    name = _NAMES[guide.kind]
    grammar = guide.grammar()
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=grammar,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"the {name} takes more than {_SECONDS} s to compile; make it simpler") from None
    if done.returncode != 0:
        raise BadInput(f"the {name} is too complex to compile; make it simpler")
    if done.stdout.strip():
        raise BadInput(f"the {name} is invalid: {one_line(done.stdout)}")
    return grammar


def one_line(message: str) -> str:
    """The compiler's message without the lines that point into the grammar with a caret."""
    lines = [line.strip() for line in message.splitlines()]
    return " ".join(line for line in lines if line and set(line) != {"^"})[:300]
