"""A guide that holds from where the answer writes a marker, such as the one before a tool call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.decoding.guidance.guided import Guided, GuideTokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.decoding.guidance.guide import Guide
    from zeropoint.decoding.method import DecodingMethod
    from zeropoint.tokenizers.core.tokenizer import Tokenizer

__all__ = ["Triggered"]


class Triggered:
    """Implements `decoding.method.DecodingMethod`. Until the marker comes, `inner` guesses (None: nothing).

    When the grammar is complete the answer is free again, up to the next marker.
    """

    def __init__(
        self,
        guide_tokenizer: GuideTokenizer,
        guide: Guide,
        tokenizer: Tokenizer,
        inner: DecodingMethod | None,
    ) -> None:
        self._guide_tokenizer, self._guide, self._tokenizer = guide_tokenizer, guide, tokenizer
        self._inner = inner
        self._marker = guide.after.encode()
        self._tail = b""  # the end of the answer, of which the marker may become a part
        self._guided: Guided | None = None

    def before_step(self, n_others: int) -> tuple[Sequence[int], NDArray[np.uint32] | None]:
        """What the guide forces and allows after a marker; before it, guesses up to the next one."""
        if self._guided is not None:
            return self._guided.before_step(n_others)
        if self._inner is None:
            return [], None
        draft, masks = self._inner.before_step(n_others)
        # The token after a marker must be sampled under the guide, so no guess may bring one.
        tail = self._tail
        for i, token in enumerate(draft):
            tail += self._tokenizer.token_bytes(token)
            if self._marker in tail:
                return draft[:i], masks
        return draft, masks

    def after_step(self, new_ids: Sequence[int], n_rows: int, seconds: float) -> None:
        """Follow the answer, and begin or end the guide."""
        if self._inner is not None:
            self._inner.after_step(new_ids, n_rows, seconds)
        for token in new_ids:
            if self._guided is not None:
                self._guided.after_step([token], n_rows, seconds)
                if self._guided.is_complete:
                    self._guided, self._tail = None, b""
                continue
            self._tail += self._tokenizer.token_bytes(token)
            _, found, rest = self._tail.partition(self._marker)
            self._tail = self._tail[-2 * len(self._marker) - 64 :]
            if found:
                self._begin(rest)

    def close(self) -> None:
        """Free what the guesses hold."""
        if self._inner is not None:
            self._inner.close()

    def _begin(self, rest: bytes) -> None:
        """Start the guide. rest: what the marker's last token wrote after it."""
        guided = Guided(self._guide_tokenizer, self._guide)
        self._tail = b""
        if guided.consume(rest):
            self._guided = guided
