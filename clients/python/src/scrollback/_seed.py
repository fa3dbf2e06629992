"""Scrollback's first interface: a session, and four functions that take it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._client import Client
from ._operations import Id
from .models import Content, Conversation, Message, Role, ToolCalls

__all__ = ["Session", "add_message", "get_chat_history", "get_or_create_conversation", "get_user_conversations"]


class Session(Client):
    """A `Client`, under the name that the four functions know it by.

    >>> session = Session(server_url)
    >>> chat = get_or_create_conversation(session, "user-7")
    >>> message = add_message(session, chat.id, "user", "Hello")
    >>> for message in get_chat_history(session, chat.id):
    ...     print(f"{message.role}: {message.content}")
    user: Hello
    >>> [each.id == chat.id for each in get_user_conversations(session, "user-7")]
    [True]
    >>> session.close()
    """


def get_or_create_conversation(
    session: Client,
    user_id: str | None = None,
    *,
    new: bool = False,
    id: Id | None = None,  # noqa: A002
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Conversation:
    """The user's most recently updated conversation, or a new one. See `Client.get_or_create_conversation`.

    >>> with Session(server_url) as session:
    ...     get_or_create_conversation(session, "grace").user_id
    'grace'
    """
    return session.get_or_create_conversation(user_id, new=new, id=id, title=title, metadata=metadata)


def add_message(
    session: Client,
    conversation_id: Id,
    role: Role | str,
    content: Content | None = None,
    tool_calls: ToolCalls | None = None,
    *,
    id: Id | None = None,  # noqa: A002
    tool_call_id: str | None = None,
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Message:
    """Stores a message at the end of a conversation, exactly once. See `Client.add_message`.

    `tool_calls` is an object, as it was at first, or a list.

    >>> with Session(server_url) as session:
    ...     message = add_message(session, conversation.id, "assistant", tool_calls={"name": "weather"})
    >>> message.tool_calls
    {'name': 'weather'}
    """
    return session.add_message(
        conversation_id,
        role,
        content,
        tool_calls=tool_calls,
        id=id,
        tool_call_id=tool_call_id,
        name=name,
        metadata=metadata,
    )


def get_chat_history(session: Client, conversation_id: Id) -> list[Message]:
    """All messages of a conversation, in chronological order. See `Client.get_chat_history`.

    >>> with Session(server_url) as session:
    ...     get_chat_history(session, conversation.id)
    []
    """
    return session.get_chat_history(conversation_id).all()


def get_user_conversations(session: Client, user_id: str) -> list[Conversation]:
    """All conversations of a user, the most recently updated first. See `Client.get_user_conversations`.

    >>> with Session(server_url) as session:
    ...     latest = get_or_create_conversation(session, "grace")
    ...     get_user_conversations(session, "grace")[0].id == latest.id
    True
    """
    return session.get_user_conversations(user_id).all()
