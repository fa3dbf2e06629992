"""What the adapters of frameworks share: texts that the API refuses, and conversations that a session's name finds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .models import Message, NewMessage

# The API refuses U+0000 and half surrogate pairs in texts. A message that has one of them is escaped as a whole, and is marked.
_REFUSED = re.compile("[\0\ud800-\udfff]")
_SPECIAL = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPED = re.compile(r"\\(\\|u[0-9a-f]{4})")
_MARK, _MARKED = "scrollback", {"escaped": True}

_SESSIONS = uuid.UUID("6f0b2f3e-6f0f-5d0c-9a55-5c5f1f0c6a01")


def conversation_of(user_id: str, session_id: str) -> uuid.UUID:
    """The id of the conversation that holds a session: a UUID of version 5, so each process finds the same one."""
    # The length keeps apart ("a", "bc") and ("ab", "c").
    return uuid.uuid5(_SESSIONS, f"{len(user_id)}:{user_id}{session_id}")


def _strings(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_strings(key, change): _strings(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strings(item, change) for item in value]
    return value


def _has_refused(value: Any) -> bool:
    if isinstance(value, str):
        return _REFUSED.search(value) is not None
    if isinstance(value, dict):
        return any(_has_refused(key) or _has_refused(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(_has_refused(item) for item in value)
    return False


_FIELDS = ("content", "tool_calls", "tool_call_id", "name", "metadata")


def escaped(message: NewMessage) -> NewMessage:
    """The message, with texts that the API takes. `unescaped` reverses it."""
    fields = {name: getattr(message, name) for name in _FIELDS}
    if not _has_refused(fields):
        return message

    def escape(text: str) -> str:
        return _SPECIAL.sub(lambda found: "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}", text)

    fields = _strings(fields, escape)
    fields["metadata"] = {**(fields["metadata"] or {}), _MARK: _MARKED}
    return replace(message, **fields)


def unescaped(message: Message | NewMessage) -> dict[str, Any]:
    """The fields of a message as they were before `escaped`."""
    fields: dict[str, Any] = {name: getattr(message, name) for name in _FIELDS}
    fields["metadata"] = dict(fields["metadata"] or {})
    if fields["metadata"].get(_MARK) != _MARKED:
        return fields
    del fields["metadata"][_MARK]

    def unescape(text: str) -> str:
        return _ESCAPED.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text)

    again: dict[str, Any] = _strings(fields, unescape)
    return again
