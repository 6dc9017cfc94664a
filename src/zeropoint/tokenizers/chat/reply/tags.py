"""The parser of most models: reasoning and tool calls between tags, text around them."""

from __future__ import annotations

from zeropoint.frozen import frozen
from zeropoint.tokenizers.chat.reply.calls import Schemas, ToolFormat
from zeropoint.tokenizers.chat.reply.events import Reasoning, ReplyEvent, Text, ToolCall
from zeropoint.tokenizers.chat.reply.markers import MarkerFinder

__all__ = ["MAX_CALL_CHARS", "ReasoningTags", "TagParser", "Trimmer"]

MAX_CALL_CHARS = 1 << 20  # a call that is longer is text


@frozen
class ReasoningTags:
    """What encloses the reasoning. answer: tags around the answer, which are left out after reasoning."""

    opens: str
    closes: str
    answer: tuple[str, ...] = ()


class Trimmer:
    """Passes text through without the white space at its end, and at its beginning if wanted."""

    def __init__(self, trims_start: bool) -> None:
        self._trims_start = trims_start
        self._space: list[str] = []
        self.is_empty = True

    def push(self, text: str) -> str:
        """The text that certainly is not at the end."""
        if self.is_empty and self._trims_start:
            text = text.lstrip()
        body = text.rstrip()
        if not body:
            self._space.append(text)
            return ""
        passed = "".join(self._space) + body
        self._space, self.is_empty = [text[len(body) :]], False
        return passed

    def rest(self) -> str:
        """The white space at the end."""
        return "".join(self._space)


class TagParser:
    """A `ReplyParser`. reasoning, tools: the formats, None for text only. schemas: of the tools' parameters.

    is_reasoning: the prompt has opened the reasoning already. Reasoning may begin where there is no text yet,
    or none since the last call; the same tag in the middle of an answer is text.
    """

    def __init__(
        self,
        reasoning: ReasoningTags | None,
        tools: ToolFormat | None,
        schemas: Schemas,
        is_reasoning: bool = False,
    ) -> None:
        self._reasoning, self._tools, self._schemas = reasoning, tools, schemas
        self._finder = MarkerFinder()
        self._events: list[ReplyEvent] = []
        self._n_calls = 0
        self._has_reasoned = is_reasoning
        self._text = Trimmer(trims_start=False)
        self._thought = Trimmer(trims_start=True)
        self._opened, self._body, self._n_body = "", [""], 0
        self._step = self._read_reasoning if is_reasoning else self._read_text
        if tools is not None and tools.starts and not is_reasoning:
            self._step = self._read_start

    def push(self, text: str) -> list[ReplyEvent]:
        """The events that this piece completes."""
        self._finder.push(text)
        while self._step():
            pass
        return self._take_events()

    def finish(self) -> list[ReplyEvent]:
        """The events that were held back."""
        rest = self._finder.rest()
        if self._step == self._read_reasoning:
            self._emit_reasoning(rest)
        elif self._step == self._read_call:
            self._body.append(rest)
            self._end_call("")
        else:
            self._emit_text("".join(self._body) + rest)
        if not self._text.is_empty or not (self._n_calls or self._has_reasoned):
            self._add_text(self._text.rest())
        return self._take_events()

    def _take_events(self) -> list[ReplyEvent]:
        events, self._events = self._events, []
        return events

    def _read_start(self) -> bool:
        """Hold the first characters back until they are, or are not, the beginning of a bare call."""
        text, marker = self._finder.next(self._text_markers())
        self._body.append(text)
        head = "".join("".join(self._body).split())
        starts = self._tools.starts if self._tools is not None else ()
        if not marker and any(start.startswith(head[: len(start)]) for start in starts):
            if any(head.startswith(start) for start in starts):
                self._step, self._opened = self._read_call, ""
                self._n_body = sum(map(len, self._body))
                return True
            return False
        held, self._body = "".join(self._body), [""]
        self._step = self._read_text
        self._emit_text(held)
        return self._open(marker)

    def _read_text(self) -> bool:
        text, marker = self._finder.next(self._text_markers())
        self._emit_text(text)
        return self._open(marker)

    def _open(self, marker: str) -> bool:
        """Go on after a marker in the text; False if there was none."""
        if not marker:
            return False
        if self._reasoning is not None and marker == self._reasoning.opens:
            self._step, self._thought = self._read_reasoning, Trimmer(trims_start=True)
            self._has_reasoned = True
        elif self._tools is not None and marker in self._tools.opens:
            self._step, self._opened, self._body, self._n_body = self._read_call, marker, [""], 0
        return True

    def _read_reasoning(self) -> bool:
        closes = self._reasoning.closes if self._reasoning else ""
        text, marker = self._finder.next((closes,))
        self._emit_reasoning(text)
        if marker:
            self._step, self._text = self._read_text, Trimmer(trims_start=True)
        return bool(marker)

    def _read_call(self) -> bool:
        tools = self._tools
        if tools is None:
            return False
        ends = tools.closes + (tools.opens if tools.repeats else ())
        text, marker = self._finder.next(ends)
        self._body.append(text)
        self._n_body += len(text)
        if marker:
            is_next = marker not in tools.closes
            self._end_call("" if is_next else marker)
            return self._open(marker) if is_next else True
        if self._n_body > MAX_CALL_CHARS:
            self._emit_text(self._opened + "".join(self._body))
            self._step, self._body = self._read_text, [""]
            return True
        return False

    def _end_call(self, closed: str) -> None:
        """Emit the calls between two markers; as text if they are none."""
        body, self._body = "".join(self._body), [""]
        self._step = self._read_text
        try:
            calls = self._tools.parse(body, self._schemas) if self._tools else []
        except (ValueError, RecursionError):
            self._emit_text(self._opened + body + closed)
            return
        for call in calls:
            self._events.append(ToolCall(self._n_calls, call.name, call.arguments))
            self._n_calls += 1
        self._text = Trimmer(trims_start=True)

    def _text_markers(self) -> tuple[str, ...]:
        markers = self._tools.opens if self._tools is not None else ()
        if self._reasoning is not None:
            if self._text.is_empty:
                markers += (self._reasoning.opens,)
            if self._has_reasoned:
                markers += self._reasoning.answer
        return markers

    def _emit_text(self, text: str) -> None:
        self._add_text(self._text.push(text))

    def _add_text(self, text: str) -> None:
        if text:
            self._events.append(Text(text))

    def _emit_reasoning(self, text: str) -> None:
        if passed := self._thought.push(text):
            self._events.append(Reasoning(passed))
