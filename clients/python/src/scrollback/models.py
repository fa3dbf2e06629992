"""What the API answers, as frozen dataclasses.

The `repr` of an object has no content, no user id and no metadata, so that it can be logged. A field that this release does not know is in
`extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Generic, Literal, Protocol, TypeAlias, TypedDict, TypeVar, cast, overload
from uuid import UUID

from ._ids import new_id

__all__ = [
    "Content",
    "Context",
    "ContextFields",
    "Conversation",
    "Erased",
    "ForkedFrom",
    "Imported",
    "Message",
    "NewMessage",
    "Page",
    "Rewound",
    "Role",
    "SearchHit",
    "Status",
    "Summary",
    "SummaryText",
    "ToolCalls",
    "Transferred",
    "Turn",
    "TurnConversation",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Role: TypeAlias = Literal["user", "assistant", "tool", "system", "developer"]
"""Who speaks."""

Status: TypeAlias = Literal["complete", "in_progress", "cancelled"]
"""Whether a message is whole, or the beginning of a reply that is still being written."""

Content: TypeAlias = str | Sequence[Mapping[str, Any]]
"""Text, or content parts: objects with a `type`, or parts of Gemini or Converse, which have none."""

ToolCalls: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""A model's calls to tools: any JSON object or array."""


def _private(**options: Any) -> Any:
    """A field that `repr` leaves out. A hash does, too, because JSON values have none."""
    return field(repr=False, hash=False, **options)


def _read(read: Callable[[Any], Any]) -> Any:
    return field(metadata={"read": read})


def _time(text: str) -> datetime:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _maybe(read: Callable[[Any], Any]) -> Any:
    """A field that may be null. A server that does not know the field leaves it out."""
    return field(default=None, metadata={"read": lambda data: None if data is None else read(data)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """That there is a text which stands for the messages up to the position `through`."""

    through: int
    created_at: datetime = _read(_time)
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryText:
    """A summary with its text, which stands for the messages up to the position `through`.

    Attributes:
        token_count: how many tokens the text has, as you counted them, or None.

    `version` is the conversation's ETag, for `if_match` and `if_none_match`.
    """

    through: int
    content: str = _private()
    token_count: int | None
    created_at: datetime = _read(_time)
    version: str | None = field(default=None, compare=False)
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ForkedFrom:
    """The conversation that another one is a copy of, and the position of the last message that was copied."""

    conversation_id: UUID = _read(UUID)
    position: int
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A conversation, without its messages.

    Attributes:
        last_message_at: when the newest message was appended. Only new messages move it.
        archived_at: since when the conversation is archived, or None.
        pinned_at: since when it is pinned, or None.
        expires_at: from this moment on, the conversation counts as deleted. None if it never expires.
        forked_from: what the conversation is a copy of, or None.
        kept_count: how many messages are kept beside the current line, as versions. `message_count` counts the line.
        last_message: the newest message, from a list that was asked for it. Otherwise None.

    `version` is the conversation's ETag, for `if_match` and `if_none_match`. It is None in lists, which have no version for each item.
    """

    id: UUID = _read(UUID)
    user_id: str = _private()
    title: str | None = _private()
    metadata: Mapping[str, Any] = _private()
    message_count: int
    summary: Summary | None = _maybe(lambda data: decode(Summary, data))
    created_at: datetime = _read(_time)
    updated_at: datetime = _read(_time)
    last_message_at: datetime | None = _maybe(_time)
    archived_at: datetime | None = _maybe(_time)
    pinned_at: datetime | None = _maybe(_time)
    expires_at: datetime | None = _maybe(_time)
    forked_from: ForkedFrom | None = _maybe(lambda data: decode(ForkedFrom, data))
    kept_count: int = 0
    # A list without it has the same conversations, so it has no part in a comparison.
    last_message: Message | None = field(
        default=None,
        repr=False,
        compare=False,
        metadata={"read": lambda data: None if data is None else decode(Message, data)},
    )
    version: str | None = field(default=None, compare=False)
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A stored message.

    `status` is `complete`, or `in_progress` for a reply that is still being written. It is `incomplete` if nobody has touched such a reply
    for 60 seconds, and `cancelled` if somebody has stopped it. A context has complete and cancelled messages only.

    `feedback` is what the conversation's user thinks of the message: a `rating` (`up`, `down` or None), and maybe a `comment`.

    `position` orders the messages of a conversation. `version` is the ETag that the conversation had after the write which answered this
    message. It is None for a message that was read from a list: there, the page has the version.

    `versions` has the ids of the messages that follow the same message, the oldest first, itself among them. It is None unless it was asked
    for. From `tree`, a message has its `parent_id`, which is None at the beginning, and `on_line`: whether it is on the current line.

    `extra` has what the message was stored with of `refusal`, `annotations`, `audio`, `function_call` and `reasoning_content`.
    """

    id: UUID = _read(UUID)
    conversation_id: UUID = _read(UUID)
    position: int
    role: str
    content: str | list[dict[str, Any]] | None = _private()
    tool_calls: dict[str, Any] | list[Any] | None = _private()
    tool_call_id: str | None = _private()
    name: str | None = _private()
    metadata: Mapping[str, Any] = _private()
    token_count: int | None = None
    status: str = "complete"
    created_at: datetime = _read(_time)
    updated_at: datetime = _read(_time)
    feedback: Mapping[str, Any] | None = _private(default=None)
    # A read without these has the same message, so they have no part in a comparison.
    versions: Sequence[UUID] | None = field(
        default=None, repr=False, compare=False, metadata={"read": lambda data: tuple(map(UUID, data))}
    )
    parent_id: UUID | None = field(
        default=None, compare=False, metadata={"read": lambda data: None if data is None else UUID(data)}
    )
    on_line: bool | None = field(default=None, compare=False)
    version: str | None = field(default=None, compare=False)
    extra: Mapping[str, Any] = _private(default_factory=dict)


class SupportsModelDump(Protocol):
    """What pydantic's models have, and so the messages of OpenAI's package."""

    def model_dump(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to store with `add_messages`. It gets its id here, so the same object can be sent again safely.

    `extra` is what Chat Completions answers beside the content: `refusal`, `annotations`, `audio`, `function_call` and `reasoning_content`.

    >>> NewMessage("user", "Is it raining in Oslo?").role
    'user'
    """

    role: Role | str
    content: Content | None = _private(default=None)
    tool_calls: ToolCalls | None = _private(default=None, kw_only=True)
    tool_call_id: str | None = _private(default=None, kw_only=True)
    name: str | None = _private(default=None, kw_only=True)
    metadata: Mapping[str, Any] | None = _private(default=None, kw_only=True)
    token_count: int | None = field(default=None, kw_only=True)
    status: Status | None = field(default=None, kw_only=True)
    id: UUID | str = field(default_factory=new_id, kw_only=True)
    extra: Mapping[str, Any] | None = _private(default=None, kw_only=True)

    @classmethod
    def from_openai(cls, message: Mapping[str, Any] | SupportsModelDump, **fields: Any) -> NewMessage:
        """A message of Chat Completions: a `ChatCompletionMessage` of OpenAI's package, or a dictionary with the members of one.

        Members that are None are left out. Those that the API does not know, such as a provider's own, are in `metadata` under `openai`.

        Args:
            message: the message.
            fields: other fields of the new message, such as `token_count`, or an `id` that the caller chooses.

        Raises:
            TypeError: it is neither of them.

        >>> NewMessage.from_openai({"role": "assistant", "content": "Yes.", "refusal": None}, token_count=2).token_count
        2
        """
        given = message if isinstance(message, Mapping) else getattr(message, "model_dump", dict)()
        if not isinstance(given, Mapping) or "role" not in given:
            raise TypeError(f"a message of Chat Completions has a role; this is of the type {type(message).__name__}")
        members = {name: value for name, value in given.items() if value is not None}
        own = {name: members.pop(name) for name in _OF_A_MESSAGE if name in members}
        extra = {name: members.pop(name) for name in _BESIDE_THE_CONTENT if name in members}
        if members:
            fields["metadata"] = {**(fields.get("metadata") or {}), "openai": members}
        return cls(**{**own, "extra": extra or None, **fields})


_OF_A_MESSAGE = ("role", "content", "tool_calls", "tool_call_id", "name")
_BESIDE_THE_CONTENT = ("refusal", "annotations", "audio", "function_call", "reasoning_content")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context(Generic[T_co]):
    """What to send to a model.

    Attributes:
        messages: `Message` objects, or plain dictionaries in the form that the `format` names.
        omitted: how many messages of the conversation are not in it.
        first_position: the position of the first message behind the leading instructions.
        repaired: the positions of the messages that were repaired, because their tool calls had no results.
        open_calls: the ids of the calls that still wait for their results.
        instructions: `system` of the formats `anthropic` and `converse`, `instructions` of `responses`, `systemInstruction` of `gemini`.
            Otherwise None.
        tokens: how many tokens `messages` have, as they were counted or estimated.
        estimated: whether the tokens of a message were estimated.
        elided: how many tool results have lost their contents.
        summary: the summary in it: `{"through": position}`, or None.
    """

    messages: tuple[T_co, ...] = _private()
    omitted: int
    first_position: int | None = None
    repaired: Sequence[int] = ()
    open_calls: Sequence[str] = ()
    instructions: Any = _private(default=None)
    tokens: int | None = None
    estimated: bool | None = None
    elided: int = 0
    summary: Mapping[str, Any] | None = None
    version: str | None = field(default=None, compare=False)
    extra: Mapping[str, Any] = _private(default_factory=dict)


class ContextFields(TypedDict, total=False):
    """What `turn` takes for its context: the parameters of `get_context`."""

    max_messages: int | None
    max_chars: int | None
    max_tokens: int | None
    step: int | None
    tool_results: int | None
    unanswered: Literal["answer", "drop"] | None
    call_ids: Literal["fit", "keep"] | None
    format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"] | None


class TurnConversation(TypedDict, total=False):
    """The conversation that `turn` creates if it is not there. One that is there keeps its title, metadata and end."""

    user_id: str | None
    title: str | None
    metadata: Mapping[str, Any] | None
    expires_in: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A turn that has begun.

    Attributes:
        messages: the messages that were sent, in their order.
        reply: the place for the reply, if one was wanted. If the turn was begun before, it has what was written into it since.
        context: what to send to the model, as `get_context` returns it. A reply that is still being written is not in it.
        conversation: the conversation, if the turn was to create it.
        replayed: whether the messages were stored before, for example by an attempt whose answer was lost.

    `version` is the conversation's ETag behind these messages, for `if_match`.
    """

    messages: tuple[Message, ...] = _private()
    reply: Message | None = None
    context: Context[Any]
    conversation: Conversation | None = None
    replayed: bool = False
    version: str | None = field(default=None, compare=False)
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchHit:
    """A message that a search has found, and the title of its conversation.

    `snippet` is text around the first hit, with `**` before and after each hit. `highlights` has the place of each hit in it, without these
    asterisks: for `start, end = hit.highlights[0]`, the first hit is `hit.snippet[start:end]`.
    """

    message: Message = field(metadata={"read": lambda data: decode(Message, data)})
    snippet: str = _private()
    highlights: Sequence[tuple[int, int]] = _private(
        default=(), metadata={"read": lambda data: tuple(map(tuple, data))}
    )
    title: str | None = _private(default=None)
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewound:
    """How many messages a rewind has deleted."""

    deleted: int
    version: str | None = field(default=None, compare=False)
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """How much an erasure has deleted."""

    conversations: int
    messages: int
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Transferred:
    """How many conversations have become another user's."""

    conversations: int
    extra: Mapping[str, Any] = _private(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What an import has stored, how many lines were stored before, and how many belong to conversations that have expired."""

    conversations: int
    messages: int
    skipped: int
    expired: int = 0
    extra: Mapping[str, Any] = _private(default_factory=dict)


class Page(Sequence[T_co]):
    """The items of one response.

    `version` is the conversation's ETag, where the list belongs to a conversation. `has_more` says whether another page follows.
    """

    __slots__ = ("_items", "_next", "version")

    def __init__(self, items: Sequence[T_co], *, version: str | None = None, next_link: str | None = None) -> None:
        self._items = tuple(items)
        self._next = next_link
        self.version = version

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return self._next is not None

    @overload
    def __getitem__(self, index: int) -> T_co: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...
    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        # The link is left out: that of a search holds what was searched for.
        return f"Page({len(self)} items, version={self.version!r}, has_more={self.has_more})"


@cache
def _readers(model: Any) -> dict[str, Callable[[Any], Any] | None]:
    ours = {"version", "extra"}
    return {each.name: each.metadata.get("read") for each in fields(model) if each.name not in ours}


def decode(model: type[T], data: Any, **more: Any) -> T:
    """The model's object that a response describes.

    An unknown member goes to `extra`. So do the members of the API's own `extra`. A missing one that is required is a TypeError.
    """
    if not isinstance(data, dict):
        raise TypeError("the response has no JSON object where one is expected")
    readers = _readers(cast("Hashable", model))
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, value in data.items():
        if name in more:
            continue
        if name == "extra":
            extra.update(value)
            continue
        if name not in readers:
            extra[name] = value
            continue
        read = readers[name]
        known[name] = value if read is None else read(value)
    make: Callable[..., T] = model
    return make(**known, **more, extra=extra)
