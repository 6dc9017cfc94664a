"""`Guided`: a guide as the decoding method of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zeropoint.decoding.guidance.check import check_guide, one_line
from zeropoint.decoding.guidance.guide import Guide
from zeropoint.errors import BadInput, not_installed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from zeropoint.tokenizers.core.tokenizer import Tokenizer

__all__ = ["GuideTokenizer", "Guided"]

_MAX_FORCED = 32  # tokens verified in one pass


class GuideTokenizer:
    """A tokenizer in llguidance's form; building it takes some tenths of a second. Raises BadInput."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        try:
            import llguidance
        except ImportError:
            raise BadInput(not_installed("guided generation", "llguidance")) from None
        if not tokenizer.stop_ids:
            raise BadInput("this model has no end token, which guided generation needs to end an answer")
        self.n_vocab = tokenizer.n_vocab
        self.stop_ids = sorted(tokenizer.stop_ids)
        wrapper: Any = llguidance.TokenizerWrapper(_Wrapped(tokenizer))
        self.native = llguidance.LLTokenizer(wrapper, n_vocab=tokenizer.n_vocab, eos_token=self.stop_ids)


class _Wrapped:
    """What llguidance asks of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = min(tokenizer.stop_ids)
        self.bos_token_id = tokenizer.bos_id
        self.special_token_ids = sorted(tokenizer.control_ids)
        # An empty token would never advance the grammar; an impossible byte excludes it.
        self.tokens = [tokenizer.token_bytes(index) or b"\xff" for index in range(tokenizer.n_vocab)]

    def __call__(self, text: str | bytes) -> list[int]:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return self._tokenizer.encode(text, is_continuation=True)


class Guided:
    """Implements `decoding.method.DecodingMethod`. n_forced: tokens that were the only ones allowed."""

    def __init__(self, tokenizer: GuideTokenizer, guide: Guide) -> None:
        import llguidance

        grammar = check_guide(guide)
        self.n_forced = 0
        self._tokenizer = tokenizer
        self._matcher = llguidance.LLMatcher(tokenizer.native, grammar, log_level=0)
        if self._matcher.is_error():
            raise BadInput(f"the grammar is invalid: {one_line(self._matcher.get_error())}")
        self._stop_ids = tokenizer.stop_ids
        self._n_words = -(-tokenizer.n_vocab // 32)
        self._forced: list[int] = []  # the matcher has consumed them, and the engine is still to sample them
        self._mask: NDArray[np.uint32] | None = None  # of the token after them

    def before_step(self, n_others: int) -> tuple[Sequence[int], NDArray[np.uint32] | None]:
        """The tokens that the grammar forces, and what it allows after them."""
        if self._mask is None:
            self._forced = list(self._matcher.compute_ff_tokens())[:_MAX_FORCED]
            if self._forced:
                self._matcher.consume_tokens(self._forced)
            self._mask = self._allowed()
        masks = np.zeros((len(self._forced) + 1, self._n_words), np.uint32)
        for row, token in enumerate(self._forced):
            masks[row, token // 32] = 1 << token % 32
        masks[-1] = self._mask
        return self._forced, masks

    def close(self) -> None:
        """Nothing to free."""

    def after_step(self, new_ids: Sequence[int], n_rows: int, seconds: float) -> None:
        """Consume what was sampled."""
        for token in new_ids:
            if self._forced:
                self._forced = self._forced[1:]
                self.n_forced += 1
            else:
                self._matcher.consume_token(token)
                self._mask = None

    def consume(self, text: bytes) -> bool:
        """Read a text that was written without the guide. False if the grammar does not allow it."""
        ids = self._tokenizer.native.tokenize_bytes(text) if text else []
        self._mask = None
        return bool(self._matcher.try_consume_tokens(ids) == len(ids))

    @property
    def is_complete(self) -> bool:
        """Whether the grammar allows nothing more."""
        if self._matcher.is_stopped() or self._matcher.is_error():
            return True
        if not self._matcher.is_accepting() or self._forced:
            return False
        if self._mask is None:
            self._mask = self._allowed()
        bits = np.unpackbits(self._mask.view(np.uint8), bitorder="little")
        bits[[token for token in self._stop_ids if token < len(bits)]] = 0
        return not bits.any()

    def _allowed(self) -> NDArray[np.uint32]:
        """Bits of the tokens that may follow; the end tokens alone once nothing may."""
        mask = np.zeros(self._n_words, np.int32)
        if not self._matcher.is_error() and not self._matcher.is_stopped():
            self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        if not mask.any():
            for token in self._stop_ids:
                mask.view(np.uint32)[token // 32] |= np.uint32(1 << token % 32)
        return mask.view(np.uint32)
