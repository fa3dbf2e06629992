"""What the adapters of frameworks share: a session's conversation, and messages in a form that the API takes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from typing import Any

from . import _operations
from ._exchange import Series
from .errors import NotFound, PreconditionFailed
from .models import Message, NewMessage

# What is ours in a message's metadata.
_MARK = "scrollback"

_SESSIONS = uuid.UUID("6f0b2f3e-6f0f-5d0c-9a55-5c5f1f0c6a01")

# What the API takes with one request: so many messages, and so many bytes, less some for what is around them.
_MOST_MESSAGES = 500
_MOST_BYTES = (4 << 20) - 4096

# What the API takes of one message, in bytes of UTF-8 or of JSON.
_LARGEST = {"content": 1 << 20, "tool_calls": 256 << 10, "metadata": 256 << 10, "name": 1 << 10}

# A title has one line of so many characters.
_LONGEST_TITLE = 80


def conversation_of(user_id: str, session_id: str) -> uuid.UUID:
    """The id of the conversation that holds a session: a UUID of version 5, so each process finds the same one."""
    # The length keeps apart ("a", "bc") and ("ab", "c").
    return uuid.uuid5(_SESSIONS, f"{len(user_id)}:{user_id}{session_id}")


def id_of(framework: str, identity: str) -> uuid.UUID:
    """The id of a message that the framework knows by an identity: the same one each time, so saving it again stores nothing."""
    return uuid.uuid5(_SESSIONS, f"{framework} {identity}")


class Conversation:
    """The conversation of a session, as one object of an adapter knows it. The first write creates it, if it is not there.

    A conversation that this object has found or created, and that is missing later, was deleted. It is not created again, because what the
    program still has in memory would come back.
    """

    def __init__(self, session_id: str | uuid.UUID, user_id: str) -> None:
        named = _operations.checked("session_id", session_id)
        self._user_id = _operations.checked("user_id", user_id)
        self.id: str | uuid.UUID = (
            session_id if isinstance(session_id, uuid.UUID) else conversation_of(self._user_id, named)
        )
        self._metadata = None if isinstance(session_id, uuid.UUID) else {"session_id": _visible(named)[:1000]}
        self._known = False
        self._untitled = False

    @classmethod
    def of(cls, conversation_id: str | uuid.UUID) -> Conversation:
        """A conversation that the program has created itself. A write does not create it."""
        conversation = cls.__new__(cls)
        conversation.id = conversation_id
        conversation._known, conversation._untitled = True, False
        return conversation

    @contextmanager
    def read(self) -> Iterator[None]:
        """For a block that reads: a conversation that does not exist yet is empty, and one that was deleted is `NotFound`."""
        known = self._known
        try:
            yield
        except NotFound:
            if known:
                raise
        else:
            self._known = True

    def append(self, messages: Sequence[NewMessage], **condition: Any) -> Series[list[Message]]:
        """The requests that store messages. Each request stores all of its messages or none."""
        stored: list[Message] = []
        title = _title_of(messages)
        for batch in _batches(messages):
            # Another thread may find the conversation while this one waits.
            known = self._known
            request = _operations.add_messages(self.id, batch, **condition)
            try:
                page = yield request
            except NotFound:
                if known:
                    raise
                yield _operations.get_or_create_conversation(
                    self._user_id, id=self.id, title=title, metadata=self._metadata
                )
                self._untitled = title is None
                page = yield request
            self._known = True
            stored += page
            condition = {}
        if self._untitled and title is not None and stored:
            self._untitled = False
            # Somebody who has changed the conversation meanwhile may have named it.
            with suppress(PreconditionFailed, NotFound):
                yield _operations.update_conversation(self.id, title=title, if_match=page.version)
        return stored


def is_said(message: Message) -> bool:
    """Whether the user has read the whole message: it is complete, or the user has stopped it. Contexts have the same messages."""
    return message.status in ("complete", "cancelled")


def _title_of(messages: Iterable[NewMessage]) -> str | None:
    """The beginning of what the user said first."""
    for message in messages:
        if message.role != "user":
            continue
        content = unescaped(message)["content"]
        texts = [content] if isinstance(content, str) else [part.get("text") for part in content or ()]
        text = _visible(" ".join(text[:1000] for text in texts if isinstance(text, str)))
        if text:
            return text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1].rstrip()}…"
    return None


def _visible(text: str) -> str:
    """The text as one line, without characters that a title cannot hold."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _batches(messages: Sequence[NewMessage]) -> Iterator[list[NewMessage]]:
    """The messages of one request each."""
    batch: list[NewMessage] = []
    size = 0
    for message in messages:
        bytes_ = sum(_size(getattr(message, each.name)) + 32 for each in dataclass_fields(message))
        if batch and (len(batch) == _MOST_MESSAGES or size + bytes_ > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += bytes_
    if batch:
        yield batch


# The API refuses U+0000 and half surrogate pairs in texts. In a field that has one, they are written as JSON writes them. A backslash is
# changed only where it would be taken for the beginning of such a sequence.
_REFUSED = re.compile("[\0\ud800-\udfff]")
_SPECIAL = re.compile("[\0\ud800-\udfff]" + r"|\\(?=u(?:0000|005c|d[89a-f][0-9a-f]{2}))")
_ESCAPED = re.compile(r"\\u(0000|005c|d[89a-f][0-9a-f]{2})")

_FIELDS = ("content", "tool_calls", "tool_call_id", "name")


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


def escaped(message: NewMessage) -> NewMessage:
    """The message, with texts that the API takes. `unescaped` reverses it."""
    fields = {name: getattr(message, name) for name in _FIELDS}
    names = [name for name, value in fields.items() if _has_refused(value)]
    metadata = dict(message.metadata or {})
    mark: dict[str, Any] = {"escaped": names} if names else {}
    if metadata and (_has_refused(metadata) or _operations.not_json(metadata)):
        # Only the adapter reads its metadata. As JSON in ASCII, it has none of these characters, and Python's JSON has NaN.
        mark["metadata"] = json.dumps(metadata)
        metadata = {}
    if not mark:
        return message

    def escape(text: str) -> str:
        return _SPECIAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

    changed = {name: _strings(fields[name], escape) for name in names}
    return replace(message, **changed, metadata={**metadata, _MARK: mark})


def unescaped(message: Message | NewMessage) -> dict[str, Any]:
    """The fields of a message as they were before `escaped`."""
    fields: dict[str, Any] = {name: getattr(message, name) for name in _FIELDS}
    metadata = dict(message.metadata or {})
    mark = metadata.get(_MARK)
    if isinstance(mark, dict) and {"escaped", "metadata", "cut"} & mark.keys():
        del metadata[_MARK]
        if "metadata" in mark:
            metadata = json.loads(mark["metadata"])
        for name in mark.get("escaped", []):
            fields[name] = _strings(fields[name], lambda text: _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text))
    return {**fields, "metadata": metadata}


def fitted(message: NewMessage) -> NewMessage:
    """The message, without what is too large for the API. A note says what is missing.

    One large part must not cost the rest of a turn, because a request stores all of its messages or none.
    """
    large = [name for name, most in _LARGEST.items() if _size(getattr(message, name)) > most]
    if not large:
        return message
    changed = {name: _shortened(getattr(message, name), _LARGEST[name]) for name in large if name != "metadata"}
    parts = changed.get("content")
    if "metadata" in large or (_opaque_of(message) and isinstance(parts, list) and not any(map(_is_opaque, parts))):
        # Without its own metadata, the message is read as one that another program has stored.
        mark = (message.metadata or {}).get(_MARK, {})
        changed["metadata"] = {_MARK: {"cut": True, "escaped": mark.get("escaped", [])}}
    return replace(message, **changed)


def _size(value: Any) -> int:
    """The bytes of a text in UTF-8, or of another value in JSON."""
    if value is None:
        return 0
    text = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    )
    return len(text.encode(errors="surrogatepass"))


# The types of content parts that are replaced as a whole: half of a picture is none.
_FILES = frozenset(
    {"audio", "document", "file", "image", "image_url", "input_audio", "input_file", "input_image", "media", "video"}
)


def _shortened(value: Any, most: int) -> Any:
    """The value with its longest texts cut, so that it has so many bytes at most."""
    if isinstance(value, str):
        return _cut(value, most)
    value = json.loads(json.dumps(value, default=str))
    while (excess := _size(value) - most) > 0:
        length, path = max(_texts(value), default=(0, ()))
        if length < 256:
            # Nothing is long. The API says what it refuses.
            break
        holder: Any = value
        for key in path[:-1]:
            holder = holder[key]
        text = holder[path[-1]]
        part = value[path[0]] if isinstance(value, list) else value
        kind = str(part.get("type")) if isinstance(part, dict) else ""
        if isinstance(value, list) and (kind in _FILES or _is_opaque(part)):
            prefix = kind[: kind.index("_") + 1] if kind.startswith(("input_", "output_")) else ""
            value[path[0]] = {"type": f"{prefix}text", "text": f"[{kind}: {length // 1000:,} kB, too large to store]"}
        elif path[-1] == "arguments":
            # The arguments of a call stay an object.
            holder[path[-1]] = json.dumps({"note": f"[cut: {len(text):,} characters]"})
        else:
            # In JSON, a character may have several bytes more.
            holder[path[-1]] = _cut(text, max(0, len(text.encode(errors="surrogatepass")) - excess - 100))
    return value


def _cut(text: str, most: int) -> str:
    kept = text.encode(errors="surrogatepass")[: max(0, most - 100)].decode(errors="ignore")
    return f"{kept}\n[cut: {len(kept):,} of {len(text):,} characters are stored]"


def _texts(value: Any) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The texts inside of a value: each with its length and where it is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, str):
            yield len(item), (key,)
        else:
            for length, path in _texts(item):
                yield length, (key, *path)


def opaque(role: str, text: str, framework: str, data: Any, **more: Any) -> NewMessage:
    """A message that no field of the API has the form of: as JSON in a content part. Its text is there for other programs."""
    texts = [{"type": "text", "text": text}] if text else []
    content = [*texts, {"type": framework, _OPAQUE: json.dumps(data)}]
    return NewMessage(role, content, metadata={framework: {}}, **more)


def restored(content: Any, framework: str) -> Any:
    """What `opaque` has stored, or None."""
    parts = content if isinstance(content, list) else []
    found = (part for part in parts if isinstance(part, dict) and part.get("type") == framework and _is_opaque(part))
    part = next(found, None)
    return None if part is None else json.loads(part[_OPAQUE])


_OPAQUE = "json"


def _is_opaque(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get(_OPAQUE), str) and set(part) == {"type", _OPAQUE}


def _opaque_of(message: NewMessage) -> bool:
    return isinstance(message.content, list) and any(map(_is_opaque, message.content))
