"""The endpoints: what each one sends, and how its answer is read. `Client` and `AsyncClient` have a method for each function here.

`clients/python/generate.py` writes the methods. The docstrings are the methods' docstrings. Their examples run against a real server, as
part of the tests.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, overload
from urllib.parse import quote, urlencode
from uuid import UUID

from ._exchange import Answer, Operation, Series
from ._ids import new_id
from .errors import ScrollbackError
from .models import (
    Content,
    Context,
    ContextFields,
    Conversation,
    Erased,
    Imported,
    Message,
    NewMessage,
    Page,
    Rewound,
    Role,
    SearchHit,
    Status,
    SummaryText,
    ToolCalls,
    Transferred,
    Turn,
    TurnConversation,
    decode,
)

T = TypeVar("T")
Counts = TypeVar("Counts", Erased, Imported, Transferred)

Id: TypeAlias = UUID | str


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Leaves a field as it is. In an update, None clears a field instead."""

# A list that has more ends with a link to the next page (RFC 8288).
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?')

# The API refuses a larger `limit`.
_LARGEST_PAGE = 1000

# The API refuses a larger body. A request with very many short lines would take long, and a retry would begin it again.
_LARGEST_IMPORT = 4 << 20
_MOST_LINES = 5000

_LINES = "application/x-ndjson"
_LINE_NUMBER = re.compile(r"line (\d+)")


def checked(name: str, value: object) -> str:
    """An id as a text. Any value has a text, and that of None would be an id like another, so only texts and UUIDs are taken."""
    if not isinstance(value, (str, UUID)):
        raise TypeError(f"{name} must be a text, and not {type(value).__name__}")
    return str(value)


def _segment(name: str, value: Id) -> str:
    """A path segment. An empty one would name another resource, so it is refused here."""
    text = checked(name, value)
    if not text:
        raise ValueError(f"{name} must not be empty")
    # A client or a proxy resolves the segments `.` and `..`, unless they are encoded.
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


def _conversation(conversation_id: Id, rest: str = "") -> str:
    return f"/conversations/{_segment('conversation_id', conversation_id)}{rest}"


def _message(conversation_id: Id, message_id: Id) -> str:
    return _conversation(conversation_id, f"/messages/{_segment('message_id', message_id)}")


def _user(user_id: str, rest: str = "") -> str:
    return f"/users/{_segment('user_id', user_id)}{rest}"


def _text(value: object) -> str:
    """A value as the query string has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _query(target: str, fields: Mapping[str, object]) -> str:
    given = {name: _text(value) for name, value in fields.items() if value is not None}
    # `+` for a space is right in forms only, so spaces are sent as %20.
    return f"{target}?{urlencode(given, quote_via=quote)}" if given else target


def _body(fields: Mapping[str, Any]) -> bytes:
    def plain(value: object) -> Any:
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        # Bytes would be a list of numbers.
        if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
            return list(value)
        raise TypeError(f"{type(value).__name__} is not JSON")

    def dump(ascii_only: bool) -> str:
        return json.dumps(fields, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"), default=plain)

    try:
        return dump(ascii_only=False).encode()
    except UnicodeEncodeError:
        # UTF-8 has no half surrogate pairs, and JSON's escapes do. The API takes them inside of tool calls and content parts.
        return dump(ascii_only=True).encode()
    except (TypeError, ValueError) as error:
        found = None if "Circular" in str(error) else not_json(fields)
        if found is None:
            raise
        name, what = found
        raise type(error)(f"{name} is {what}, which JSON does not have") from None


def not_json(value: Any, name: str = "") -> tuple[str, str] | None:
    """The name of the first field whose value is not JSON, such as `messages[3].metadata.score`, and what it is."""
    if isinstance(value, (float, bytes, bytearray)):
        finite = isinstance(value, float) and math.isfinite(value)
        return None if finite else (name, str(value) if isinstance(value, float) else type(value).__name__)
    if isinstance(value, Mapping):
        inner = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
    elif isinstance(value, Iterable) and not isinstance(value, str):
        inner = [(f"{name}[{index}]", item) for index, item in enumerate(value)]
    elif value is None or isinstance(value, (str, int, UUID)):
        return None
    else:
        return name, type(value).__name__
    return next((found for each, item in inner if (found := not_json(item, each)) is not None), None)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}


def _if(*, match: str | None = None, none_match: str | None = None) -> dict[str, str]:
    return _given(**{"if-match": match, "if-none-match": none_match})


def _one(model: type[T]) -> Callable[[Answer], T]:
    return lambda answer: decode(model, answer.json(), version=answer.version)


def _next_link(answer: Answer) -> str | None:
    link = _NEXT.search(answer.headers.get("link", ""))
    return link.group(1) if link else None


def _page(model: type[T]) -> Callable[[Answer], Page[T]]:
    def read(answer: Answer) -> Page[T]:
        items = answer.json()
        if not isinstance(items, list):
            raise TypeError("the response has no JSON array where one is expected")
        return Page([decode(model, item) for item in items], version=answer.version, next_link=_next_link(answer))

    return read


def _page_of_lines(answer: Answer) -> Page[bytes]:
    if not answer.headers.get("content-type", "").startswith(_LINES) or not (b"\n" + answer.body).endswith(b"\n"):
        raise TypeError("the response has no lines where some are expected")
    return Page(io.BytesIO(answer.body).readlines(), next_link=_next_link(answer))


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list of any length: its first request, and how many items the caller wants in all."""

    first: Operation[Page[T]]
    limit: int | None

    def following(self, page: Page[T]) -> Operation[Page[T]] | None:
        """The request for the page behind this one. The token goes along, so a link must not lead to another host."""
        link = page._next
        if link is None:
            return None
        if not link.startswith("/") or link.startswith("//"):
            raise ValueError("the next link is not a path")
        # A condition is about the first page only.
        headers = {name: value for name, value in self.first.headers.items() if name != "if-none-match"}
        return replace(self.first, target=link, headers=headers)


def _listing(
    name: str,
    model: type[T],
    target: str,
    fields: Mapping[str, object],
    *,
    limit: int | None,
    page_size: int | None,
    headers: Mapping[str, str] | None = None,
) -> Listing[T]:
    size = page_size if limit is None else min(limit, page_size or _LARGEST_PAGE)
    first = Operation(
        name=name,
        method="GET",
        target=_query(target, {**fields, "limit": size}),
        headers=headers or {},
        read=_page(model),
    )
    return Listing(first, limit)


def _plus(one: Counts, other: Counts) -> Counts:
    """The counts of two responses, added up."""
    names = [each.name for each in dataclass_fields(one) if each.name != "extra"]
    return replace(other, **{name: getattr(one, name) + getattr(other, name) for name in names})


def _until_complete(operation: Operation[tuple[Counts, bool]]) -> Series[Counts]:
    """Sends a request again until its answer says that nothing is left."""
    total, complete = yield operation
    while not complete:
        counts, complete = yield operation
        total = _plus(total, counts)
    return total  # type: ignore[no-any-return]


def _so_far(model: type[T]) -> Callable[[Answer], tuple[T, bool]]:
    return lambda answer: (decode(model, answer.json()), answer.status != 202)


def get_or_create_conversation(
    user_id: str | None = None,
    *,
    new: bool = False,
    id: Id | None = None,  # noqa: A002
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    expires_in: int | None = None,
) -> Operation[Conversation]:
    """The user's most recently updated conversation, or a new one if there is none.

    Args:
        user_id: whose conversation. Without it: the token's user.
        new: start a new conversation in any case. The client makes its id, so that the request can be sent again.
        id: exactly this conversation, found or created. Another user's is a `Conflict`.
        title: for a conversation that is created. A found one keeps its own.
        metadata: for a conversation that is created. A found one keeps its own.
        expires_in: for a conversation that is created: after how many seconds it counts as deleted, at least 60.

    >>> first = client.get_or_create_conversation("grace")
    >>> client.get_or_create_conversation("grace").id == first.id
    True
    >>> client.get_or_create_conversation("grace", new=True, title="Compilers").title
    'Compilers'
    """
    if user_id is not None:
        user_id = checked("user_id", user_id)
    if new and id is None:
        id = new_id()  # noqa: A001
    return Operation(
        name="get-or-create-conversation",
        method="POST",
        target="/conversations",
        body=_body(
            _given(user_id=user_id, new=new or None, id=id, title=title, metadata=metadata, expires_in=expires_in)
        ),
        read=_one(Conversation),
    )


def get_conversation(conversation_id: Id, *, if_none_match: str | None = None) -> Operation[Conversation]:
    """A conversation, without its messages.

    With `if_none_match`, a conversation that still has this version raises `NotModified`.

    >>> client.get_conversation(conversation.id).message_count
    0
    """
    return Operation(
        name="get-conversation",
        method="GET",
        target=_conversation(conversation_id),
        headers=_if(none_match=if_none_match),
        read=_one(Conversation),
    )


def update_conversation(
    conversation_id: Id,
    *,
    title: str | Unset | None = UNSET,
    metadata: Mapping[str, Any] | Unset | None = UNSET,
    archived: bool | Unset = UNSET,
    pinned: bool | Unset = UNSET,
    expires_in: int | Unset | None = UNSET,
    if_match: str | None = None,
) -> Operation[Conversation]:
    """Changes a conversation: its title and metadata, whether it is archived or pinned, and when it expires.

    Args:
        conversation_id: the conversation.
        title: the new title. None clears it.
        metadata: merged into the conversation's metadata, member by member (RFC 7396). A member that is None is deleted.
        archived: whether it is archived. An archived conversation is not the one that `get_or_create_conversation` finds.
        pinned: whether it is pinned.
        expires_in: after how many seconds it counts as deleted, at least 60. None: it never expires.
        if_match: change it only if it still has this version. Otherwise `PreconditionFailed` is raised.

    >>> client.update_conversation(conversation.id, metadata={"model": "gpt-5"}).metadata
    {'model': 'gpt-5'}
    >>> client.update_conversation(conversation.id, title="Umbrellas", metadata={"model": None}).metadata
    {}
    >>> client.update_conversation(conversation.id, archived=True).archived_at is None
    False
    """
    return Operation(
        name="update-conversation",
        method="PATCH",
        target=_conversation(conversation_id),
        headers=_if(match=if_match),
        body=_body(_changed(title=title, metadata=metadata, archived=archived, pinned=pinned, expires_in=expires_in)),
        read=_one(Conversation),
    )


def fork_conversation(
    conversation_id: Id,
    *,
    through: int | None = None,
    id: Id | None = None,  # noqa: A002
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Operation[Conversation]:
    """Copies a conversation up to a message, for example to try another answer. The source is not changed.

    The copied messages keep their positions, times and token counts. They get new ids.

    Args:
        conversation_id: the conversation to copy.
        through: the position of the last message to copy. Without it, all messages are copied.
        id: the id of the copy. Without it, the client makes one. Pass your own if your program may repeat the call itself.
        title: the copy's title. Without it, the source's.
        metadata: the copy's metadata. Without it, the source's.

    >>> question = client.add_message(conversation.id, "user", "Is it raining?")
    >>> reply = client.add_message(conversation.id, "assistant", "No.")
    >>> copy = client.fork_conversation(conversation.id, through=question.position, title="Another answer")
    >>> copy.message_count, copy.forked_from.position
    (1, 1)
    >>> copy.forked_from.conversation_id == conversation.id
    True
    """
    return Operation(
        name="fork-conversation",
        method="POST",
        target=_conversation(conversation_id, "/fork"),
        body=_body(_given(id=id or new_id(), through=through, title=title, metadata=metadata)),
        read=_one(Conversation),
    )


def summarize_conversation(
    conversation_id: Id,
    through: int,
    content: str,
    *,
    token_count: int | None = None,
    if_match: str | None = None,
) -> Operation[Conversation]:
    """Stores a text that stands for all messages up to a position. `get_context` uses it when the conversation does not fit.

    Args:
        conversation_id: the conversation.
        through: the position of the last message that the text stands for. It is behind the leading instructions, and does not divide a
            tool call from its results.
        content: the summary.
        token_count: how many tokens it has, as you counted them.
        if_match: store it only if no message up to `through` has changed since this version. Otherwise `PreconditionFailed` is raised.

    >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
    >>> client.summarize_conversation(conversation.id, question.position, "The user asks about rain.").summary.through
    1
    """
    return Operation(
        name="summarize-conversation",
        method="PUT",
        target=_conversation(conversation_id, "/summary"),
        headers=_if(match=if_match),
        body=_body(_given(through=through, content=content, token_count=token_count)),
        read=_one(Conversation),
    )


def get_summary(conversation_id: Id, *, if_none_match: str | None = None) -> Operation[SummaryText]:
    """The newest summary of a conversation, with its text. `NotFound` is raised if there is none.

    Args:
        conversation_id: the conversation.
        if_none_match: raise `NotModified` if the conversation still has this version.

    >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
    >>> summarized = client.summarize_conversation(conversation.id, question.position, "The user asks about rain.")
    >>> summary = client.get_summary(conversation.id)
    >>> summary.through, summary.content, summary.version == summarized.version
    (1, 'The user asks about rain.', True)
    """
    return Operation(
        name="get-summary",
        method="GET",
        target=_conversation(conversation_id, "/summary"),
        headers=_if(none_match=if_none_match),
        read=_one(SummaryText),
    )


def delete_summary(conversation_id: Id, *, if_match: str | None = None) -> Operation[None]:
    """Deletes the newest summary of a conversation. An older one takes its place, if there is one.

    With `if_match`, the summary is deleted only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
    >>> summarized = client.summarize_conversation(conversation.id, question.position, "The user asks about rain.")
    >>> client.delete_summary(conversation.id)
    >>> print(client.get_conversation(conversation.id).summary)
    None
    """
    return Operation(
        name="delete-summary",
        method="DELETE",
        target=_conversation(conversation_id, "/summary"),
        headers=_if(match=if_match),
        read=lambda answer: None,
        gone_is_done=True,
    )


def delete_conversation(conversation_id: Id, *, if_match: str | None = None) -> Operation[None]:
    """Deletes a conversation and its messages.

    >>> client.delete_conversation(conversation.id)
    >>> client.get_conversation(conversation.id)
    Traceback (most recent call last):
        ...
    scrollback.errors.NotFound: no such conversation or message (404, not_found, request ...)
    """
    return Operation(
        name="delete-conversation",
        method="DELETE",
        target=_conversation(conversation_id),
        headers=_if(match=if_match),
        read=lambda answer: None,
        gone_is_done=True,
    )


def add_message(
    conversation_id: Id,
    role: Role | str,
    content: Content | None = None,
    *,
    tool_calls: ToolCalls | None = None,
    id: Id | None = None,  # noqa: A002
    tool_call_id: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    token_count: int | None = None,
    status: Status | None = None,
    refusal: str | None = None,
    annotations: Sequence[Any] | None = None,
    audio: Mapping[str, Any] | None = None,
    function_call: Mapping[str, Any] | None = None,
    reasoning_content: str | None = None,
    from_: int | None = None,
    parent_id: Id | Unset | None = UNSET,
    if_match: str | None = None,
) -> Operation[Message]:
    """Stores a message at the end of a conversation, exactly once.

    Args:
        conversation_id: the conversation.
        role: who speaks: `user`, `assistant`, `tool`, `system` or `developer`.
        content: text, or content parts.
        tool_calls: the model's calls to tools. Either this or `content` is required.
        id: the message's id. Without it, the client makes one. Pass your own if your program may repeat the call itself.
        tool_call_id: the call that a tool's message answers.
        name: the speaker's or the tool's name.
        metadata: your own data about the message.
        token_count: how many tokens it has, as you counted them. `get_context` counts with it instead of an estimate.
        status: `in_progress` for the beginning of a reply that is still being written. See `stream_reply`.
        refusal, annotations, audio, function_call, reasoning_content: what OpenAI's SDKs dump of a message besides. They come back in the
            message's `extra`.
        from_: replace the message at this position and all after it, in one transaction. A retry deletes nothing, because the message is
            stored already.
        parent_id: the message follows this one, or with None it is at the beginning. What followed before is kept as another version. See
            `select_line`.
        if_match: store it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
    >>> message.position, message.content
    (1, 'Is it raining in Oslo?')
    >>> call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    >>> client.add_message(conversation.id, "assistant", tool_calls=[call]).position
    2
    """
    fields = _given(
        role=role,
        content=content,
        tool_calls=tool_calls,
        id=id or new_id(),
        tool_call_id=tool_call_id,
        name=name,
        metadata=metadata,
        token_count=token_count,
        status=status,
        refusal=refusal,
        annotations=annotations,
        audio=audio,
        function_call=function_call,
        reasoning_content=reasoning_content,
    )
    return _append(conversation_id, fields | _place(from_, parent_id), if_match, _one(Message))


def add_messages(
    conversation_id: Id,
    messages: Iterable[NewMessage | Mapping[str, Any]],
    *,
    from_: int | None = None,
    parent_id: Id | Unset | None = UNSET,
    if_match: str | None = None,
) -> Operation[Page[Message]]:
    """Stores 1 to 500 messages at the end of a conversation: all or none, in this order, at adjacent positions.

    A message is a `NewMessage`, or a mapping with the same fields, such as a Chat Completions message. One without an id gets one.
    Messages that are stored already with the same content are not stored again.

    With `from_`, they replace the message at that position and all after it, in one transaction. With `parent_id`, they follow that
    message, and what followed it before is kept as another version. None is the beginning.

    >>> call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    >>> stored = client.add_messages(
    ...     conversation.id,
    ...     [
    ...         {"role": "assistant", "content": None, "tool_calls": [call]},
    ...         NewMessage("tool", "rain", tool_call_id="call_1", name="weather"),
    ...     ],
    ... )
    >>> [message.position for message in stored]
    [1, 2]
    """
    body = {"messages": [_identified(message) for message in messages], **_place(from_, parent_id)}
    return _append(conversation_id, body, if_match, _page(Message))


def _place(from_: int | None, parent_id: Id | Unset | None) -> dict[str, Any]:
    """Where new messages go. A parent that is None is the beginning of the conversation."""
    return _given(**{"from": from_}) | _changed(parent_id=parent_id)


def _identified(message: NewMessage | Mapping[str, Any]) -> dict[str, Any]:
    """A message's fields, with an id."""
    if isinstance(message, NewMessage):
        given = {each.name: getattr(message, each.name) for each in dataclass_fields(message)}
        return _given(**(given.pop("extra") or {}), **given)
    return {**message, "id": message.get("id") or new_id()}


def _append(
    conversation_id: Id, fields: Mapping[str, Any], if_match: str | None, read: Callable[[Answer], T]
) -> Operation[T]:
    return Operation(
        name="add-message",
        method="POST",
        target=_conversation(conversation_id, "/messages"),
        headers=_if(match=if_match),
        body=_body(fields),
        read=read,
    )


def get_chat_history(
    conversation_id: Id,
    *,
    limit: int | None = None,
    after: int | None = None,
    before: int | None = None,
    order: Literal["asc", "desc"] | None = None,
    last: int | None = None,
    include: Literal["versions"] | None = None,
    line: Id | None = None,
    all: bool = False,  # noqa: A002
    if_none_match: str | None = None,
    page_size: int | None = None,
) -> Listing[Message]:
    """A conversation's messages, in chronological order. They are requested page by page, while you iterate.

    Args:
        conversation_id: the conversation.
        limit: how many messages at most, in all.
        after: only messages behind this position.
        before: only messages before this position.
        order: `desc` for the newest first.
        last: the newest so many (1 to 1000), still in chronological order. It excludes `limit`, `after`, `before` and `order`.
        include: `versions` fills in the `versions` of each message.
        line: read the path that ends with this message, whether it is on the current line or not.
        all: read all messages, also those that are kept beside the current line. See `tree`.
        if_none_match: raise `NotModified` if the conversation still has this version. `first_page().version` is the current one.
        page_size: how many messages a request asks for, 1 to 1000. Without it, as many as fit in a response.

    >>> for text in ("Hello", "Are you there?"):
    ...     message = client.add_message(conversation.id, "user", text)
    >>> [message.content for message in client.get_chat_history(conversation.id)]
    ['Hello', 'Are you there?']
    >>> [message.content for message in client.get_chat_history(conversation.id, last=1)]
    ['Are you there?']
    """
    return _listing(
        "get-chat-history",
        Message,
        _conversation(conversation_id, "/messages"),
        {
            "after": after,
            "before": before,
            "order": order,
            "last": last,
            "include": include,
            "line": line,
            "all": all or None,
        },
        limit=limit,
        page_size=page_size,
        headers=_if(none_match=if_none_match),
    )


def tree(
    conversation_id: Id,
    *,
    limit: int | None = None,
    after: int | None = None,
    before: int | None = None,
    order: Literal["asc", "desc"] | None = None,
    last: int | None = None,
    if_none_match: str | None = None,
    page_size: int | None = None,
) -> Listing[Message]:
    """All messages of a conversation, also those that are kept beside its current line, by their positions.

    Each one has its `parent_id`, and `on_line` says whether it is on the line. A parent comes before the messages that follow it. The
    parameters are those of `get_chat_history`.

    >>> question = client.add_message(conversation.id, "user", "Is it raining?")
    >>> for text in ("No.", "Yes."):
    ...     answer = client.add_message(conversation.id, "assistant", text, parent_id=question.id)
    >>> for message in client.tree(conversation.id):
    ...     print(message.content, message.parent_id == question.id, message.on_line)
    Is it raining? False True
    No. True False
    Yes. True True
    """
    return get_chat_history(
        conversation_id,
        limit=limit,
        after=after,
        before=before,
        order=order,
        last=last,
        all=True,
        if_none_match=if_none_match,
        page_size=page_size,
    )


def select_line(
    conversation_id: Id,
    message_id: Id | None,
    *,
    newest: bool = False,
    if_match: str | None = None,
) -> Operation[Conversation]:
    """Goes to another version of a message: the current line then ends with it, or goes on below it.

    Histories, contexts, searches and counts are about the current line. What leaves the line is kept.

    Args:
        conversation_id: the conversation.
        message_id: the last message of the line. None is the beginning of the conversation.
        newest: the line goes on below that message, to the newest message at each step.
        if_match: do it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> question = client.add_message(conversation.id, "user", "Is it raining?")
    >>> for text in ("No.", "Yes."):
    ...     answer = client.add_message(conversation.id, "assistant", text, parent_id=question.id)
    >>> first, second = client.get_message(conversation.id, answer.id, include="versions").versions
    >>> client.select_line(conversation.id, first, newest=True).kept_count
    1
    >>> [message.content for message in client.get_chat_history(conversation.id)]
    ['Is it raining?', 'No.']
    """
    return Operation(
        name="select-line",
        method="PUT",
        target=_conversation(conversation_id, "/line"),
        headers=_if(match=if_match),
        body=_body({"message_id": message_id, **_given(newest=newest or None)}),
        read=_one(Conversation),
    )


def rewind_conversation(
    conversation_id: Id, *, from_: int | None = None, if_match: str | None = None
) -> Operation[Rewound]:
    """Deletes a message and all after it, so that a reply can be generated again.

    Args:
        conversation_id: the conversation.
        from_: the position of the first message to delete. Without it, all messages are deleted.
        if_match: delete them only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> question = client.add_message(conversation.id, "user", "Is it raining?")
    >>> reply = client.add_message(conversation.id, "assistant", "No.")
    >>> client.rewind_conversation(conversation.id, from_=reply.position, if_match=reply.version).deleted
    1
    """
    return Operation(
        name="rewind-conversation",
        method="DELETE",
        target=_query(_conversation(conversation_id, "/messages"), {"from": from_}),
        headers=_if(match=if_match),
        read=_one(Rewound),
    )


def get_message(
    conversation_id: Id,
    message_id: Id,
    *,
    skip: int | None = None,
    wait: int | None = None,
    include: Literal["versions"] | None = None,
    if_none_match: str | None = None,
) -> Operation[Message]:
    """A message. A reader of a reply that is still being written calls this again and again.

    Args:
        conversation_id: the conversation.
        message_id: the message.
        skip: how many characters of the content you have already. The answer has only what comes behind them.
        wait: with `if_none_match`, wait for so many seconds (1 to 20) until there is something new, or the reply ends.
        include: `versions` fills in the message's `versions`.
        if_none_match: raise `NotModified` if the conversation still has this version.

    >>> message = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
    >>> piece = client.update_message(conversation.id, message.id, append="ing.", at=10, status="complete")
    >>> rest = client.get_message(conversation.id, message.id, skip=10)
    >>> rest.content, rest.status
    ('ing.', 'complete')
    """
    return Operation(
        name="get-message",
        method="GET",
        target=_query(_message(conversation_id, message_id), {"skip": skip, "wait": wait, "include": include}),
        headers=_if(none_match=if_none_match),
        read=_one(Message),
        wait=wait or 0,
    )


def delete_message(conversation_id: Id, message_id: Id, *, if_match: str | None = None) -> Operation[None]:
    """Deletes a message. The others keep their positions, and those that followed it follow its parent.

    With `if_match`, the message is deleted only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> message = client.add_message(conversation.id, "user", "Hello")
    >>> client.delete_message(conversation.id, message.id)
    >>> client.get_conversation(conversation.id).message_count
    0
    """
    return Operation(
        name="delete-message",
        method="DELETE",
        target=_message(conversation_id, message_id),
        headers=_if(match=if_match),
        read=lambda answer: None,
        gone_is_done=True,
    )


def update_message(
    conversation_id: Id,
    message_id: Id,
    *,
    content: Content | Unset | None = UNSET,
    tool_calls: ToolCalls | Unset | None = UNSET,
    metadata: Mapping[str, Any] | Unset | None = UNSET,
    token_count: int | Unset | None = UNSET,
    feedback: Mapping[str, Any] | Unset | None = UNSET,
    append: str | None = None,
    at: int | None = None,
    status: Status | None = None,
    if_match: str | None = None,
) -> Operation[Message]:
    """Edits a message, which keeps its position.

    A field that is left out stays as it is. None clears a field. New content without a new `token_count` clears the count.

    Args:
        conversation_id: the conversation.
        message_id: the message.
        content: the new text or content parts.
        tool_calls: the new calls.
        metadata: merged into the message's metadata, member by member (RFC 7396). A member that is None is deleted.
        token_count: how many tokens it has, as you counted them.
        feedback: what the conversation's user thinks of the message, such as `{"rating": "up", "comment": "Just right"}`. A rating is `up`,
            `down` or None. It changes no context.
        append: the next piece of a reply that is being written, with `at`. A piece that is there already is not appended again.
        at: how many characters the content has before the piece. If it has another number, `Conflict` is raised, with `length`.
        status: `complete` ends a reply that was being written, and so does `cancelled`. See `cancel_reply`.
        if_match: edit it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> message = client.add_message(conversation.id, "user", "Is it raining in Olso?")
    >>> client.update_message(conversation.id, message.id, content="Is it raining in Oslo?").content
    'Is it raining in Oslo?'
    """
    return Operation(
        name="update-message",
        method="PATCH",
        target=_message(conversation_id, message_id),
        headers=_if(match=if_match),
        body=_body(
            {
                **_changed(
                    content=content,
                    tool_calls=tool_calls,
                    metadata=metadata,
                    token_count=token_count,
                    feedback=feedback,
                ),
                **_given(append=append, at=at, status=status),
            }
        ),
        read=_one(Message),
    )


def cancel_reply(conversation_id: Id, message_id: Id) -> Operation[Message]:
    """Stops a reply that is being written, for the person who reads it. The reply keeps what it has, and contexts have it.

    A reply that is cancelled already stays as it is. `Conflict` is raised if the message is complete. The writer's next piece raises
    `Cancelled`. A user's own token may cancel, whatever roles it may write.

    >>> reply = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
    >>> client.cancel_reply(conversation.id, reply.id).status
    'cancelled'
    """
    return update_message(conversation_id, message_id, status="cancelled")


@overload
def get_context(
    conversation_id: Id,
    *,
    max_messages: int | None = None,
    max_chars: int | None = None,
    max_tokens: int | None = None,
    step: int | None = None,
    tool_results: int | None = None,
    unanswered: Literal["answer", "drop"] | None = None,
    call_ids: Literal["fit", "keep"] | None = None,
    line: Id | None = None,
    format: Literal["messages"] = "messages",
    if_none_match: str | None = None,
) -> Operation[Context[Message]]: ...
@overload
def get_context(
    conversation_id: Id,
    *,
    max_messages: int | None = None,
    max_chars: int | None = None,
    max_tokens: int | None = None,
    step: int | None = None,
    tool_results: int | None = None,
    unanswered: Literal["answer", "drop"] | None = None,
    call_ids: Literal["fit", "keep"] | None = None,
    line: Id | None = None,
    format: Literal["openai", "anthropic", "responses", "gemini", "converse"],
    if_none_match: str | None = None,
) -> Operation[Context[dict[str, Any]]]: ...
@overload
def get_context(
    conversation_id: Id,
    *,
    max_messages: int | None = None,
    max_chars: int | None = None,
    max_tokens: int | None = None,
    step: int | None = None,
    tool_results: int | None = None,
    unanswered: Literal["answer", "drop"] | None = None,
    call_ids: Literal["fit", "keep"] | None = None,
    line: Id | None = None,
    format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"],
    if_none_match: str | None = None,
) -> Operation[Context[Any]]: ...
def get_context(
    conversation_id: Id,
    *,
    max_messages: int | None = None,
    max_chars: int | None = None,
    max_tokens: int | None = None,
    step: int | None = None,
    tool_results: int | None = None,
    unanswered: Literal["answer", "drop"] | None = None,
    call_ids: Literal["fit", "keep"] | None = None,
    line: Id | None = None,
    format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"] = "messages",  # noqa: A002
    if_none_match: str | None = None,
) -> Operation[Context[Any]]:
    """What to send to a model: the leading instructions and the newest messages that fit. Every tool call has its results.

    Args:
        conversation_id: the conversation.
        max_messages: how many messages at most, the instructions included.
        max_chars: how many characters of `content` and `tool_calls` at most.
        max_tokens: how many tokens at most: each message's `token_count`, or else an estimate.
        step: how much is appended, in what the limit counts, before the start of the messages moves. So a prompt cache is hit.
        tool_results: how many tool results, the newest, keep their contents.
        unanswered: what happens to a call that was interrupted. `answer` (the default) adds a result, and `drop` leaves the call out.
        call_ids: what happens to the ids of calls in other formats than `messages`. `fit` (the default) makes them unique and as the API
            takes them, and `keep` leaves them alone.
        line: the context of the path that ends with this message, as if the current line ended there.
        format: `messages` for `Message` objects, or dictionaries as an API takes them: `openai` (Chat Completions), `anthropic`
            (Messages), `responses` (OpenAI's Responses), `gemini` (Google's `contents`) or `converse` (Amazon Bedrock's Converse, whose
            bytes are base64 here and `bytes` in boto3).
        if_none_match: raise `NotModified` if the conversation still has this version.

    >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
    >>> client.get_context(conversation.id, max_messages=50, format="openai").messages
    ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
    """
    return Operation(
        name="get-context",
        method="GET",
        target=_query(
            _conversation(conversation_id, "/context"),
            {
                "max_messages": max_messages,
                "max_chars": max_chars,
                "max_tokens": max_tokens,
                "step": step,
                "tool_results": tool_results,
                "unanswered": unanswered,
                "call_ids": call_ids,
                "line": line,
                "format": None if format == "messages" else format,
            },
        ),
        headers=_if(none_match=if_none_match),
        read=lambda answer: _context(answer.json(), format, answer.version),
    )


def _context(document: dict[str, Any], format: str, version: str | None) -> Context[Any]:  # noqa: A002
    items = document.pop({"responses": "input", "gemini": "contents"}.get(format, "messages"))
    names = ("system", "instructions", "systemInstruction")
    instructions = next(filter(None, [document.pop(name, None) for name in names]), None)
    messages = tuple(decode(Message, item) for item in items) if format == "messages" else tuple(items)
    context: Context[Any] = decode(Context, document, messages=messages, instructions=instructions, version=version)
    return context


def turn(
    conversation_id: Id,
    role: Role | str | None = None,
    content: Content | None = None,
    *,
    messages: Iterable[NewMessage | Mapping[str, Any]] | None = None,
    tool_calls: ToolCalls | None = None,
    id: Id | None = None,  # noqa: A002
    tool_call_id: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    token_count: int | None = None,
    status: Status | None = None,
    refusal: str | None = None,
    annotations: Sequence[Any] | None = None,
    audio: Mapping[str, Any] | None = None,
    function_call: Mapping[str, Any] | None = None,
    reasoning_content: str | None = None,
    from_: int | None = None,
    parent_id: Id | Unset | None = UNSET,
    reply_id: Id | bool | None = None,
    conversation: TurnConversation | None = None,
    context: ContextFields | None = None,
    if_match: str | None = None,
) -> Operation[Turn]:
    """Begins a turn, in one request: stores what the user said, and returns what to send to the model.

    All of it is done, or nothing. Then `add_message` stores the answer, or `stream_reply(turn)` does, while the model writes it.

    Args:
        conversation_id: the conversation. To create it, pass `conversation` and an id from `new_id()`.
        role, content: the message, as `add_message` takes it.
        messages: several messages, as `add_messages` takes them, in place of one. Then the fields of a message are left out.
        tool_calls, tool_call_id, name, metadata, token_count, status: fields of the message.
        id: the message's id. Without it, the client makes one. Pass your own, and that of the reply, if your program may repeat the call.
        refusal, annotations, audio, function_call, reasoning_content: fields of the message.
        from_: replace the message at this position and all after it.
        parent_id: the messages follow this one, as in `add_message`.
        reply_id: True stores an empty reply behind the messages, whose status is `in_progress`, so that a page that is loaded from now on
            can follow it. The client makes its id, unless this is one.
        conversation: the conversation is created if it is not there, with these fields. Another user's is a `Conflict`.
        context: the parameters of `get_context`, such as `{"format": "openai", "max_tokens": 8000}`.
        if_match: begin only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    >>> turn = client.turn(
    ...     new_id(),
    ...     "user",
    ...     "Is it raining in Oslo?",
    ...     conversation={"user_id": "ada", "title": "Umbrellas"},
    ...     context={"format": "openai"},
    ... )
    >>> turn.context.messages
    ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
    >>> client.add_message(turn.conversation.id, "assistant", "Yes.").position
    2
    """
    message = _given(
        role=role,
        content=content,
        tool_calls=tool_calls,
        id=id,
        tool_call_id=tool_call_id,
        name=name,
        metadata=metadata,
        token_count=token_count,
        status=status,
        refusal=refusal,
        annotations=annotations,
        audio=audio,
        function_call=function_call,
        reasoning_content=reasoning_content,
    )
    if messages is None:
        fields: dict[str, Any] = _identified(message)
    elif message:
        raise ValueError(f"{next(iter(message))} is a field of one message, which messages takes the place of")
    else:
        fields = {"messages": [_identified(each) for each in messages]}
    if reply_id is True:
        reply_id = new_id()
    fields |= _given(reply_id=reply_id or None, conversation=conversation, context=context)
    fields |= _place(from_, parent_id)

    def read(answer: Answer) -> Turn:
        document = answer.json()
        found = [decode(Message, item, version=answer.version) for item in document.pop("messages")]
        reply, whole = document.pop("reply", None), document.pop("conversation", None)
        return decode(
            Turn,
            document,
            messages=tuple(found),
            reply=None if reply is None else decode(Message, reply, version=answer.version),
            context=_context(document.pop("context"), (context or {}).get("format") or "messages", answer.version),
            conversation=None if whole is None else decode(Conversation, whole, version=answer.version),
            replayed=answer.headers.get("idempotent-replayed") == "true",
            version=answer.version,
        )

    return Operation(
        name="begin-turn",
        method="POST",
        target=_conversation(conversation_id, "/turn"),
        headers=_if(match=if_match),
        body=_body(fields),
        read=read,
    )


def get_user_conversations(
    user_id: str,
    *,
    order: Literal["updated", "activity"] | None = None,
    title: str | None = None,
    metadata: Mapping[str, str | int] | None = None,
    archived: bool | None = None,
    pinned: bool | None = None,
    ids: Iterable[Id] | None = None,
    include: Literal["last_message"] | None = None,
    limit: int | None = None,
    page_size: int | None = None,
) -> Listing[Conversation]:
    """A user's conversations, the most recently updated first. They are requested page by page, while you iterate.

    A conversation is listed if it passes all filters. A page of a filtered list may have few conversations or none, and others may follow.

    Args:
        user_id: the user. One who is not known has no conversations.
        order: `activity` orders by `last_message_at`, which only new messages move. The default is `updated`.
        title: a part of the title, in upper or lower case.
        metadata: members of the conversation's metadata that have these values. The API compares them as text.
        archived: whether they are archived. Both, if it is left out.
        pinned: whether they are pinned. Both, if it is left out.
        ids: only these conversations, up to 100.
        include: `last_message` fills in the `last_message` of each conversation.
        limit: how many conversations at most, in all.
        page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

    >>> [found.id == conversation.id for found in client.get_user_conversations("ada", limit=1)]
    [True]
    >>> message = client.add_message(conversation.id, "user", "Hello")
    >>> changed = client.update_conversation(conversation.id, metadata={"project": "rain"}, pinned=True)
    >>> sidebar = client.get_user_conversations(
    ...     "ada", order="activity", metadata={"project": "rain"}, pinned=True, include="last_message", limit=1
    ... )
    >>> [found.last_message.content for found in sidebar]
    ['Hello']
    """
    members = {f"metadata.{name}": _text(value) for name, value in (metadata or {}).items()}
    return _listing(
        "get-user-conversations",
        Conversation,
        _user(user_id, "/conversations"),
        {
            "order": order,
            "title": title,
            **members,
            "archived": archived,
            "pinned": pinned,
            "ids": None if ids is None else ",".join(map(str, ids)),
            "include": include,
        },
        limit=limit,
        page_size=page_size,
    )


def search_messages(
    user_id: str, q: str, *, limit: int | None = None, page_size: int | None = None
) -> Listing[SearchHit]:
    """Searches a user's messages, the newest first. The hits are requested page by page, while you iterate.

    Args:
        user_id: the user.
        q: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives. Sentence marks around a word do not matter.
        limit: how many hits at most, in all.
        page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

    >>> message = client.add_message(conversation.id, "user", "Take an umbrella.")
    >>> [hit.snippet for hit in client.search_messages("ada", "umbrella -snow", limit=1)]
    ['Take an **umbrella**.']
    >>> [hit.snippet[start:end] for hit in client.search_messages("ada", "umbrella", limit=1) for start, end in hit.highlights]
    ['umbrella']
    """
    return _listing(
        "search-messages",
        SearchHit,
        _user(user_id, "/search"),
        {"q": q},
        limit=limit,
        page_size=page_size,
    )


def erase_user(user_id: str) -> Series[Erased]:
    """Deletes everything that is stored about a user. For a user who is not known, the answer is zeros.

    A very large user takes several requests. The client sends them, and adds up their counts. Nothing of the user can be read from the
    first one on. If the call is interrupted, the same call goes on.
    If an attempt's answer was lost, its counts are missing.

    >>> client.get_or_create_conversation("mallory").message_count
    0
    >>> client.erase_user("mallory")
    Erased(conversations=1, messages=0)
    """
    return _until_complete(
        Operation(name="erase-user", method="DELETE", target=_user(user_id), read=_so_far(Erased)),
    )


def transfer_user(user_id: str, to: str) -> Series[Transferred]:
    """Makes a user's conversations another user's, as when a guest signs in. It takes a token with the service scope.

    A very large user takes several requests. The client sends them, and adds up their counts. If the call is interrupted, the same call
    goes on.
    If an attempt's answer was lost, its counts are missing.

    Args:
        user_id: the user who has the conversations. One who is not known is a zero.
        to: the user who gets them.

    >>> guest = client.get_or_create_conversation("guest-4711", new=True)
    >>> client.transfer_user("guest-4711", "ada")
    Transferred(conversations=1)
    >>> client.get_conversation(guest.id).user_id
    'ada'
    """
    return _until_complete(
        Operation(
            name="transfer-user",
            method="POST",
            target=_user(user_id, "/transfer"),
            body=_body({"to": to}),
            read=_so_far(Transferred),
        )
    )


def export_user(user_id: str) -> Listing[bytes]:
    """Everything that is stored for a user, as lines of JSON. They are requested page by page, while you iterate.

    A line is the bytes of a JSON object, with the line break at its end. It has a `conversation` with its `summaries`, or a `message`. The
    messages of a conversation follow its line. `import_user` stores the same lines again, byte for byte.

    `file.writelines(client.export_user(user_id))` writes a file that is opened with the mode `wb`.

    Args:
        user_id: the user. One who is not known has no lines.

    >>> import json
    >>> chat = client.get_or_create_conversation("lin", new=True)
    >>> message = client.add_message(chat.id, "user", "Hello")
    >>> lines = client.export_user("lin").all()
    >>> [list(json.loads(line)) for line in lines]
    [['conversation', 'summaries', 'next_position'], ['message']]
    >>> client.erase_user("lin")
    Erased(conversations=1, messages=1)
    >>> client.import_user("lin", lines)
    Imported(conversations=1, messages=1, skipped=0, expired=0)
    >>> client.export_user("lin").all() == lines
    True
    >>> client.erase_user("lin")
    Erased(conversations=1, messages=1)
    """
    first = Operation(
        name="export-user",
        method="GET",
        target=_user(user_id, "/export"),
        headers={"accept": f"{_LINES}, application/problem+json"},
        read=_page_of_lines,
    )
    return Listing(first, limit=None)


@dataclass(frozen=True, kw_only=True)
class _ImportRequest(Operation[Imported]):
    """Some of an import's lines. An error has the number of a line in the import, and not that in the request."""

    numbers: Sequence[int]

    def result(self, answer: Answer, maybe_done: bool) -> Imported:
        try:
            return super().result(answer, maybe_done)
        except ScrollbackError as error:
            found = _LINE_NUMBER.match(error.param or "")
            if error.param and found and 0 < int(found[1]) <= len(self.numbers):
                error.param = f"line {self.numbers[int(found[1]) - 1]}{error.param[found.end() :]}"
            raise


class Import:
    """An import on its way: the lines that wait for their request, and what the requests before it have stored.

    A request has whole lines, so a conversation may be spread over several, as over the pages of an export.
    """

    def __init__(self, user_id: str) -> None:
        self._target = _user(user_id, "/import")
        self._lines: list[bytes] = []
        self._numbers: list[int] = []
        self._size = 0
        self._read = 0
        self.total = Imported(conversations=0, messages=0, skipped=0)

    def add(self, line: bytes | str) -> Operation[Imported] | None:
        """Takes the next line. If it does not fit in the waiting request, that one is returned, to be sent first."""
        self._read += 1
        if not isinstance(line, (bytes, str)):
            raise TypeError(f"a line must be bytes or str, as export_user returns it, and not {type(line).__name__}")
        data = (line.encode() if isinstance(line, str) else line).removesuffix(b"\n")
        if b"\n" in data:
            raise ValueError(f"line {self._read} has a line break in it")
        if not data.strip():
            return None
        size = len(data) + 1
        full = len(self._lines) == _MOST_LINES or self._size + size > _LARGEST_IMPORT
        request = self.rest() if full else None
        self._lines.append(data)
        self._numbers.append(self._read)
        self._size += size
        return request

    def rest(self) -> Operation[Imported] | None:
        """The request for the lines that wait, if there are any."""
        if not self._lines:
            return None
        request = _ImportRequest(
            name="import-user",
            method="POST",
            target=self._target,
            headers={"content-type": _LINES},
            body=b"\n".join([*self._lines, b""]),
            read=lambda answer: decode(Imported, answer.json()),
            numbers=self._numbers,
        )
        self._lines, self._numbers, self._size = [], [], 0
        return request

    def stored(self, imported: Imported) -> None:
        """Adds up what a request has stored."""
        self.total = _plus(self.total, imported)


def import_user(user_id: str, lines: Iterable[bytes | str]) -> Series[Imported]:
    """Stores the lines of an export for a user. It takes a token with the service scope.

    Ids, positions, times and all else are kept. Lines that are stored already are skipped, so the call can be repeated. Conversations that
    have expired are left out.

    The lines are sent while they are read, in requests of 4 MiB and 5000 lines at most. All lines of a request are stored, or none. If a
    line is refused, `param` of the exception has its number, and the requests before it are stored.
    If an attempt's answer was lost, what it stored is counted as skipped.

    Args:
        user_id: the user who gets the conversations.
        lines: the lines in the order of the export: a file that is opened with the mode `rb`, or another client's `export_user(...)`.
            `AsyncClient` takes an asynchronous iterable, too. Empty lines are left out.

    >>> chat = client.get_or_create_conversation("katherine", new=True)
    >>> with Client(server_url) as another:
    ...     client.import_user("katherine", another.export_user("katherine"))
    Imported(conversations=0, messages=0, skipped=1, expired=0)
    >>> client.erase_user("katherine")
    Erased(conversations=1, messages=0)
    """
    waiting = Import(user_id)
    for line in each_line(lines):
        if (request := waiting.add(line)) is not None:
            waiting.stored((yield request))
    if (request := waiting.rest()) is not None:
        waiting.stored((yield request))
    return waiting.total


async def import_user_async(
    run: Callable[[Operation[Imported]], Awaitable[Imported]],
    user_id: str,
    lines: Iterable[bytes | str] | AsyncIterable[bytes | str],
) -> Imported:
    """The same as `import_user`, for lines that may have to be waited for."""
    waiting = Import(user_id)
    async for line in _each_line_async(lines):
        if (request := waiting.add(line)) is not None:
            waiting.stored(await run(request))
    if (request := waiting.rest()) is not None:
        waiting.stored(await run(request))
    return waiting.total


def each_line(lines: T) -> T:
    """The lines, if they are no single text, whose items would be its characters."""
    if isinstance(lines, (bytes, str)):
        raise TypeError("lines must be an iterable of lines, such as a file that is opened with the mode rb")
    return lines


async def _each_line_async(lines: Iterable[bytes | str] | AsyncIterable[bytes | str]) -> AsyncIterator[bytes | str]:
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            yield line
    else:
        for line in each_line(lines):
            yield line
