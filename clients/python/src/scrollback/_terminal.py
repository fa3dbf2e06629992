"""What the command shows of stored messages. Stored text is hostile: a model or a user can write escape sequences for terminals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rich.text import Text

from .models import Message, SearchHit

# Characters that a reader does not see, or that a terminal obeys. What they hide is shown by their numbers. `console/src/text.ts` has the
# same list, less the halves of surrogate pairs.
_UNSEEN = re.compile(
    "["
    "\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"  # controls, separators of lines, and halves of surrogate pairs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of the text around them
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"  # invisible
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # invisible; tags, which spell a text
    "]"
    # Joiners and variation selectors belong to emoji and to scripts. A row of them is a code.
    "|(?<=[\u200c\u200d])[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef]"
    "|(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)

# A folded call or result has so many characters at most.
_FOLDED = 100

_STYLES = {"user": "bold green", "assistant": "bold cyan", "tool": "bold magenta"}


def printable(text: str, *, keep: str = "") -> str:
    r"""The text, with escapes in place of characters that hide something or control the terminal. The characters in `keep` stay.

    >>> print(printable("\x1b[2Jrain\u200b"))
    \x1b[2Jrain\u200b
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def block(text: str) -> str:
    """A text of several lines, as `printable`."""
    return printable(text.replace("\r\n", "\n"), keep="\n\t")


def folded(value: object) -> str:
    """A value as one short line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return printable(line if len(line) <= _FOLDED else f"{line[: _FOLDED - 1]}…")


def local(time: datetime) -> str:
    """A time, to the minute, in the machine's time zone."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}"


def plain(value: Any) -> Any:
    """A model as JSON has it."""
    if is_dataclass(value):
        members = {each.name: getattr(value, each.name) for each in fields(value) if each.name != "extra"}
        return plain({**members, **getattr(value, "extra", {})})
    if isinstance(value, Mapping):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value


def spoken(content: str | list[dict[str, Any]] | None) -> str:
    """The text of a message. A content part without text is its type in brackets."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(
        part["text"] if isinstance(part.get("text"), str) else f"[{part.get('type', 'part')}]" for part in content
    )


@dataclass
class Call:
    """A call to a tool, in any of the forms in which programs store it."""

    id: str | None
    name: str
    arguments: object
    result: Message | None = None


def calls_of(message: Message) -> list[Call]:
    """The message's calls."""
    stored = message.tool_calls
    calls = []
    for each in stored if isinstance(stored, list) else [] if stored is None else [stored]:
        call: Mapping[str, Any] = each if isinstance(each, dict) else {"arguments": each}
        function = call.get("function")
        inner: Mapping[str, Any] = function if isinstance(function, dict) else call
        name = inner.get("name") or call.get("type") or "call"
        arguments = next((inner[key] for key in ("arguments", "args", "input") if key in inner), "")
        identity = next((call[key] for key in ("id", "call_id") if isinstance(call.get(key), str)), None)
        calls.append(Call(identity, str(name), arguments))
    return calls


@dataclass
class Shown:
    """A message with its calls. The results that follow it are folded into the calls."""

    message: Message
    calls: list[Call] = field(default_factory=list)


def fold(messages: Iterable[Message]) -> Iterator[Shown]:
    """The messages to show, each as soon as its results are read. A result that follows no call of its own is a message."""
    waiting: Shown | None = None
    for message in messages:
        if waiting is not None and message.role == "tool" and message.tool_call_id is not None:
            answered = [call for call in waiting.calls if call.id == message.tool_call_id and call.result is None]
            if answered:
                answered[0].result = message
                continue
        if waiting is not None:
            yield waiting
        waiting = Shown(message, calls_of(message))
    if waiting is not None:
        yield waiting


def heading(message: Message) -> Text:
    """The line above a message: who, where, when, and its status if it is not complete."""
    line = Text(printable(message.role), style=_STYLES.get(message.role, "bold yellow"))
    if message.name:
        line.append(f" {printable(message.name)}", style="default")
    line.append(f"  {message.position}  {local(message.created_at)}", style="dim")
    if message.status != "complete":
        line.append(f"  {printable(message.status)}", style="yellow")
    return line


def body(shown: Shown, *, unfold: bool) -> Text:
    """A message's text, and its calls."""
    lines = [Text(block(text))] if (text := spoken(shown.message.content)) else []
    return Text("\n").join([*lines, *call_lines(shown.calls, unfold=unfold)])


def call_lines(calls: Iterable[Call], *, unfold: bool) -> list[Text]:
    """A line for each call and for each result. With `unfold`, arguments and results are shown in full."""
    show = _full if unfold else folded
    lines = []
    for call in calls:
        lines.append(
            Text(f"→ {folded(call.name)}", style="magenta").append(f"({show(call.arguments)})", style="default")
        )
        if call.result is not None:
            lines.append(Text(f"← {show(spoken(call.result.content))}", style="dim"))
    return lines


def _full(value: object) -> str:
    return block(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def highlighted(hit: SearchHit) -> Text:
    """A search's snippet, with its hits in bold instead of between asterisks."""
    line, before = Text(), 0
    for start, end in hit.highlights:
        line.append(_on_one_line(hit.snippet[before : start - 2]))
        line.append(_on_one_line(hit.snippet[start:end]), style="bold")
        before = end + 2
    return line.append(_on_one_line(hit.snippet[before:]))


def _on_one_line(text: str) -> str:
    return printable(text.replace("\n", " "))
