"""The endpoints: what each one sends, and how its answer is read. `Client` and `AsyncClient` have a method for each function here.

The docstrings are the methods' docstrings. Their examples run against a real server, as part of the tests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from enum import Enum
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

from ._exchange import Answer, Operation
from ._ids import new_id
from .models import (
    Content,
    Context,
    Conversation,
    Erased,
    Message,
    NewMessage,
    Page,
    Rewound,
    Role,
    SearchHit,
    Status,
    ToolCalls,
    decode,
)

T = TypeVar("T")

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


def _segment(name: str, value: Id) -> str:
    """A path segment. An empty one would name another resource, so it is refused here."""
    text = str(value)
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


def _query(target: str, fields: Mapping[str, object]) -> str:
    given = {name: value for name, value in fields.items() if value is not None}
    # `+` for a space is right in forms only, so spaces are sent as %20.
    return f"{target}?{urlencode(given, quote_via=quote)}" if given else target


def _body(fields: Mapping[str, Any]) -> bytes:
    def plain(value: object) -> Any:
        if isinstance(value, UUID):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, Iterable):
            return list(value)
        raise TypeError(f"{type(value).__name__} is not JSON")

    def dump(ascii_only: bool) -> str:
        return json.dumps(fields, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"), default=plain)

    try:
        return dump(ascii_only=False).encode()
    except UnicodeEncodeError:
        # UTF-8 has no half surrogate pairs, and JSON's escapes do. The API takes them inside of tool calls and content parts.
        return dump(ascii_only=True).encode()


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not UNSET}


def _if(*, match: str | None = None, none_match: str | None = None) -> dict[str, str]:
    return _given(**{"if-match": match, "if-none-match": none_match})


def _one(model: type[T]) -> Callable[[Answer], T]:
    return lambda answer: decode(model, answer.json(), version=answer.version)


def _page(model: type[T]) -> Callable[[Answer], Page[T]]:
    def read(answer: Answer) -> Page[T]:
        items = answer.json()
        if not isinstance(items, list):
            raise TypeError("the response has no JSON array where one is expected")
        link = _NEXT.search(answer.headers.get("link", ""))
        return Page(
            [decode(model, item) for item in items],
            version=answer.version,
            next_link=link.group(1) if link else None,
        )

    return read


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
        return replace(self.first, target=link, headers={})


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
    from_: int | None = None,
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
        from_: replace the message at this position and all after it, in one transaction. A retry deletes nothing, because the message is
            stored already.
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
        **{"from": from_},
    )
    return _append(conversation_id, fields, if_match, _one(Message))


def add_messages(
    conversation_id: Id,
    messages: Iterable[NewMessage | Mapping[str, Any]],
    *,
    from_: int | None = None,
    if_match: str | None = None,
) -> Operation[Page[Message]]:
    """Stores 1 to 500 messages at the end of a conversation: all or none, in this order, at adjacent positions.

    A message is a `NewMessage`, or a mapping with the same fields, such as a Chat Completions message. One without an id gets one.
    Messages that are stored already with the same content are not stored again.

    With `from_`, they replace the message at that position and all after it, in one transaction.

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

    def fields(message: NewMessage | Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(message, NewMessage):
            return _given(**{each.name: getattr(message, each.name) for each in dataclass_fields(message)})
        given = dict(message)
        given["id"] = given.get("id") or new_id()
        return given

    body = {"messages": [fields(message) for message in messages], **_given(**{"from": from_})}
    return _append(conversation_id, body, if_match, _page(Message))


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
        {"after": after, "before": before, "order": order, "last": last},
        limit=limit,
        page_size=page_size,
        headers=_if(none_match=if_none_match),
    )


def rewind_conversation(
    conversation_id: Id, *, from_: int | None = None, if_match: str | None = None
) -> Operation[Rewound]:
    """Deletes a message and all after it, so that a reply can be generated again.

    Args:
        conversation_id: the conversation.
        from_: the position of the first message to delete. Without it, all messages are deleted.
        if_match: delete them only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

    Without `if_match`, the request is not sent again if it may have been done. It could delete messages that came in between. The
    exception's `maybe_done` is true then.

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
        repeatable=if_match is not None,
    )


def get_message(
    conversation_id: Id, message_id: Id, *, from_: int | None = None, if_none_match: str | None = None
) -> Operation[Message]:
    """A message. A reader of a reply that is still being written calls this again and again.

    Args:
        conversation_id: the conversation.
        message_id: the message.
        from_: how many characters of the content you have already. The answer has only what comes behind them.
        if_none_match: raise `NotModified` if the conversation still has this version.

    >>> message = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
    >>> piece = client.update_message(conversation.id, message.id, append="ing.", at=10, status="complete")
    >>> rest = client.get_message(conversation.id, message.id, from_=10)
    >>> rest.content, rest.status
    ('ing.', 'complete')
    """
    return Operation(
        name="get-message",
        method="GET",
        target=_query(_message(conversation_id, message_id), {"from": from_}),
        headers=_if(none_match=if_none_match),
        read=_one(Message),
    )


def delete_message(conversation_id: Id, message_id: Id, *, if_match: str | None = None) -> Operation[None]:
    """Deletes a message. The others keep their positions.

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
        append: the next piece of a reply that is being written, with `at`. A piece that is there already is not appended again.
        at: how many characters the content has before the piece. If it has another number, `Conflict` is raised, with `length`.
        status: `complete` ends a reply that was being written.
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
                **_changed(content=content, tool_calls=tool_calls, metadata=metadata, token_count=token_count),
                **_given(append=append, at=at, status=status),
            }
        ),
        read=_one(Message),
    )


def get_context(
    conversation_id: Id,
    *,
    max_messages: int | None = None,
    max_chars: int | None = None,
    max_tokens: int | None = None,
    step: int | None = None,
    tool_results: int | None = None,
    unanswered: Literal["answer", "drop"] | None = None,
    format: Literal["messages", "openai", "anthropic", "responses"] = "messages",  # noqa: A002
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
        format: `messages` for `Message` objects, or dictionaries as an API takes them: `openai` (Chat Completions), `anthropic`
            (Messages) or `responses` (OpenAI's Responses).
        if_none_match: raise `NotModified` if the conversation still has this version.

    >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
    >>> client.get_context(conversation.id, max_messages=50, format="openai").messages
    ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
    """

    def read(answer: Answer) -> Context[Any]:
        document = answer.json()
        items = document.pop("input" if format == "responses" else "messages")
        instructions = document.pop("system", None) or document.pop("instructions", None)
        messages = tuple(decode(Message, item) for item in items) if format == "messages" else tuple(items)
        context: Context[Any] = decode(
            Context, document, messages=messages, instructions=instructions, version=answer.version
        )
        return context

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
                "format": None if format == "messages" else format,
            },
        ),
        headers=_if(none_match=if_none_match),
        read=read,
    )


def get_user_conversations(
    user_id: str, *, limit: int | None = None, page_size: int | None = None
) -> Listing[Conversation]:
    """A user's conversations, the most recently updated first. They are requested page by page, while you iterate.

    Args:
        user_id: the user. One who is not known has no conversations.
        limit: how many conversations at most, in all.
        page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

    >>> [found.id == conversation.id for found in client.get_user_conversations("ada", limit=1)]
    [True]
    """
    return _listing(
        "get-user-conversations",
        Conversation,
        _user(user_id, "/conversations"),
        {},
        limit=limit,
        page_size=page_size,
    )


def search_messages(
    user_id: str, q: str, *, limit: int | None = None, page_size: int | None = None
) -> Listing[SearchHit]:
    """Searches a user's messages, the newest first. The hits are requested page by page, while you iterate.

    Args:
        user_id: the user.
        q: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives.
        limit: how many hits at most, in all.
        page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

    >>> message = client.add_message(conversation.id, "user", "Take an umbrella.")
    >>> [hit.snippet for hit in client.search_messages("ada", "umbrella -snow", limit=1)]
    ['Take an **umbrella**.']
    """
    return _listing(
        "search-messages",
        SearchHit,
        _user(user_id, "/search"),
        {"q": q},
        limit=limit,
        page_size=page_size,
    )


def erase_user(user_id: str) -> Operation[Erased]:
    """Deletes everything that is stored about a user. For a user who is not known, the answer is zeros.

    A very large user takes several requests: call this until the answer is `complete`. Nothing of the user can be read from the first
    one on.
    If the first attempt's answer was lost, the counts are those of the attempt that was answered.

    >>> client.get_or_create_conversation("mallory").message_count
    0
    >>> client.erase_user("mallory")
    Erased(conversations=1, messages=0, complete=True)
    """
    return Operation(
        name="erase-user",
        method="DELETE",
        target=_user(user_id),
        read=lambda answer: decode(Erased, answer.json(), complete=answer.status == 200),
    )
