"""LangChain's messages in Scrollback. Needs the extra `langchain` of the package.

`save_messages` stores messages, and `to_langchain` reads them. Nothing is lost. Other programs and `get_context` can read what is stored:
text, content parts, and tool calls in the form of Chat Completions. What no field of Scrollback has is in `metadata["langchain"]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    message_to_dict,
    messages_from_dict,
)

from . import _operations
from ._adapters import Conversation, escaped, fitted, id_of, is_said, opaque, restored, unescaped
from ._client import AsyncClient, Client
from ._exchange import Series, drive, drive_async
from .errors import Conflict, NotFound
from .models import Message, NewMessage

__all__ = [
    "ScrollbackChatMessageHistory",
    "from_langchain",
    "save_messages",
    "save_messages_async",
    "to_langchain",
]

_ROLES: dict[type[BaseMessage], str] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    SystemMessage: "system",
    ToolMessage: "tool",
}
_CLASSES: dict[str, type[BaseMessage]] = {
    **{role: kind for kind, role in _ROLES.items()},
    "developer": SystemMessage,
}
# A chunk is stored as a message, with the name of its class.
_CHUNKS: dict[str, type[BaseMessage]] = {
    kind.__name__: kind for kind in (HumanMessageChunk, AIMessageChunk, SystemMessageChunk, ToolMessageChunk)
}
_ROLES_OF_TYPES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}

# A content part of this type holds what is not in the form of the API: a part without a type, or a message of another class.
_PART = "langchain"


def from_langchain(message: BaseMessage) -> NewMessage:
    """A message of LangChain's, to be stored with `add_messages`.

    A message with an `id` gets the same id each time, so it is stored once, however often it is saved. A UUID is kept, and another id
    becomes one. A message without an `id` is new each time.

    A message of another class than human, AI, system and tool is stored as a whole, in one content part, beside its text. So is one that
    `to_langchain` would not restore. What is too large for the API is cut, and a note says so.

    Raises:
        TypeError: a field has a value that is not JSON, such as a `ToolMessage.artifact` that is an object of your own.

    >>> from langchain_core.messages import HumanMessage
    >>> from_langchain(HumanMessage("Hello")).content
    'Hello'
    """
    more: dict[str, Any] = {"id": _id(message.id)} if message.id else {}
    if isinstance(message, AIMessage) and message.usage_metadata:
        more["token_count"] = message.usage_metadata["output_tokens"] or None
    role = next(
        (role for kind, role in _ROLES.items() if type(message) is kind or type(message) is _chunk_of(kind)), None
    )
    if role is not None:
        readable = escaped(_readable(message, role, more))
        sendable = _operations.not_json([readable.content, readable.tool_calls]) is None
        if sendable and _is_same(to_langchain(readable), message):
            return fitted(readable)
    # A chunk's type is the name of its class.
    kind = message.type.removesuffix("MessageChunk").lower()
    data = _json(message_to_dict(message))
    return fitted(escaped(opaque(_ROLES_OF_TYPES.get(kind, "assistant"), message.text, _PART, data, **more)))


def _id(identity: str) -> UUID:
    try:
        found = UUID(identity)
    except ValueError:
        return id_of(_PART, identity)
    # Another way to write a UUID is another id to LangChain.
    return found if str(found) == identity else id_of(_PART, identity)


def _chunk_of(kind: type[BaseMessage]) -> type[BaseMessage]:
    return _CHUNKS[f"{kind.__name__}Chunk"]


def _json(value: Any) -> Any:
    """The value as JSON gives it back: a tuple is a list. What JSON cannot write is an error before anything is sent."""
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        name, what = _operations.not_json(value) or ("a key", "no text")
        raise TypeError(f"{name} of the message is {what}, which JSON does not have") from None


def _is_same(one: BaseMessage, other: BaseMessage) -> bool:
    # As text, because NaN is not NaN for Python.
    return type(one) is type(other) and repr(one.model_dump()) == repr(other.model_dump())


def _readable(message: BaseMessage, role: str, more: dict[str, Any]) -> NewMessage:
    dumped = message.model_dump()
    rest = {
        name: dumped[name]
        for name, field in type(message).model_fields.items()
        if name not in ("content", "type") and dumped[name] != field.get_default(call_default_factory=True)
    }
    rest.update({name: dumped[name] for name in message.model_extra or {}})
    tool_calls = None
    if isinstance(message, AIMessage) and message.tool_calls:
        del rest["tool_calls"]
        tool_calls = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
            }
            for call in message.tool_calls
        ]
    content = message.content
    bare: list[int] = []
    if not isinstance(content, str):
        bare = [index for index, part in enumerate(content) if isinstance(part, str)]
        content = [_part(part) for part in content]
    name, tool_call_id = rest.pop("name", None), rest.pop("tool_call_id", None)
    fields = {**rest, **({"bare": bare} if bare else {})}
    if type(message).__name__ in _CHUNKS:
        fields["chunk"] = type(message).__name__
    return NewMessage(
        role,
        content,  # type: ignore[arg-type]
        tool_calls=tool_calls,
        tool_call_id=tool_call_id,
        name=name,
        metadata={_PART: _json(fields)},
        **more,
    )


def _part(part: str | dict[Any, Any]) -> dict[Any, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = part.get("type")
    return part if isinstance(kind, str) and kind and kind != _PART else {"type": _PART, "part": part}


def to_langchain(message: Message | NewMessage) -> BaseMessage:
    """A stored message, as LangChain's class. Messages that other programs have stored are converted, too.

    >>> to_langchain(client.add_message(conversation.id, "user", "Hello")).content
    'Hello'
    """
    fields = unescaped(message)
    content, theirs = fields["content"], fields["metadata"].get(_PART)
    if theirs is not None and (whole := restored(content, _PART)) is not None:
        (again,) = messages_from_dict([whole])
        return again
    more: dict[str, Any] = dict(theirs) if theirs is not None else {"id": str(message.id)}
    bare = more.pop("bare", [])
    if isinstance(content, list):
        content = [part["part"] if part.get("type") == _PART and "part" in part else part for part in content]
        content = [part["text"] if index in bare else part for index, part in enumerate(content)]
    kind = _CLASSES.get(message.role, HumanMessage)
    kind = _CHUNKS.get(more.pop("chunk", ""), kind)
    if issubclass(kind, AIMessage):
        calls, invalid = _calls(fields["tool_calls"])
        more["tool_calls"] = calls
        if invalid:
            more["invalid_tool_calls"] = [*more.get("invalid_tool_calls", []), *invalid]
    elif issubclass(kind, ToolMessage):
        more["tool_call_id"] = fields["tool_call_id"] or ""
    elif message.role == "developer":
        # The chat models of OpenAI read the role from here.
        more["additional_kwargs"] = {"__openai_role__": "developer"}
    if fields["name"] is not None:
        more["name"] = fields["name"]
    return kind(content="" if content is None else content, **more)


def _calls(tool_calls: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Calls of Chat Completions as LangChain's, and those whose arguments are no JSON object."""
    calls, invalid = [], []
    for call in tool_calls if isinstance(tool_calls, list) else []:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        known = {"name": function.get("name"), "id": call.get("id")}
        try:
            arguments = json.loads(function.get("arguments") or "{}")
        except (ValueError, TypeError):
            arguments = None
        if isinstance(arguments, dict) and isinstance(known["name"], str):
            calls.append({**known, "args": arguments, "type": "tool_call"})
        else:
            error = {"error": "the arguments are no JSON object", "type": "invalid_tool_call"}
            invalid.append({**known, "args": function.get("arguments"), **error})
    return calls, invalid


def save_messages(client: Client, conversation_id: str | UUID, messages: Iterable[BaseMessage]) -> list[Message]:
    """Appends messages to a conversation, and returns them as they are stored. Those that are stored already are not stored again.

    A request has 500 messages and 4 MiB at most. All messages of a request are stored, or none.

    Raises:
        Conflict: a message has the id of a stored one, and other content.

    >>> from langchain_core.messages import AIMessage, HumanMessage
    >>> turn = [HumanMessage("Is it raining?", id="question"), AIMessage("Yes.", id="answer")]
    >>> [len(save_messages(client, conversation.id, turn)) for _ in range(2)]
    [2, 2]
    >>> client.get_conversation(conversation.id).message_count
    2
    """
    return drive(client._run, _saved(Conversation.of(conversation_id), list(messages)))


async def save_messages_async(
    client: AsyncClient, conversation_id: str | UUID, messages: Iterable[BaseMessage]
) -> list[Message]:
    """The same as `save_messages`, asynchronously."""
    return await drive_async(client._run, _saved(Conversation.of(conversation_id), list(messages)))


def _saved(conversation: Conversation, messages: Sequence[BaseMessage]) -> Series[list[Message]]:
    new = [from_langchain(message) for message in messages]
    try:
        return (yield from conversation.append(new))
    except Conflict:
        # A message of another program, which was read and is saved again, has more fields than it was stored with. It is there already.
        there: dict[UUID, Message] = {}
        for message, stored in zip(messages, new, strict=True):
            if message.id is None:
                continue
            with suppress(NotFound):
                found = yield _operations.get_message(conversation.id, stored.id)
                if _is_same(to_langchain(found), message):
                    there[found.id] = found
        if not there:
            raise
    fresh = yield from conversation.append([message for message in new if message.id not in there])
    by_id = {**there, **{message.id: message for message in fresh}}
    return [by_id[UUID(str(message.id))] for message in new]


class ScrollbackChatMessageHistory(BaseChatMessageHistory):
    """A chat history for `RunnableWithMessageHistory`.

    LangChain has deprecated `BaseChatMessageHistory` since langchain-core 1.6.4, and removes it in 2.0. New programs read `get_context` and
    write with `save_messages`.

    Args:
        session_id: the session's name. A `UUID` is the id of a conversation.
        client: the client.
        user_id: whose session. The same name of another user is another session.
        async_client: for the asynchronous methods. Without it, they use `client` in a thread.

    The first write creates the conversation, if it is not there. Its title is the beginning of the user's first message, and
    `metadata["session_id"]` is the session's name. If it is missing later, it was deleted: reading and writing raise `NotFound`, so that
    nothing comes back. A new object begins anew.

    Messages with an `id` are stored once: see `from_langchain`. Replies that are still being written are left out of `messages`.

    >>> history = ScrollbackChatMessageHistory("rain", client, user_id=user_id)
    >>> history.add_user_message("Is it raining in Oslo?")
    >>> history.add_ai_message("Yes.")
    >>> print(history)
    Human: Is it raining in Oslo?
    AI: Yes.
    """

    def __init__(
        self, session_id: str | UUID, client: Client, *, user_id: str, async_client: AsyncClient | None = None
    ) -> None:
        super().__init__()
        if not isinstance(client, Client):
            raise TypeError(f"client must be a Client, and not {type(client).__name__}")
        self._client = client
        self._async_client = async_client
        self._conversation = Conversation(session_id, user_id)
        self.conversation_id = self._conversation.id

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """All messages of the session."""
        history: list[Message] = []
        with self._conversation.read():
            history = self._client.get_chat_history(self.conversation_id).all()
        return _complete(history)

    async def aget_messages(self) -> list[BaseMessage]:
        """All messages of the session."""
        if self._async_client is None:
            return await super().aget_messages()
        history: list[Message] = []
        with self._conversation.read():
            history = await self._async_client.get_chat_history(self.conversation_id).all()
        return _complete(history)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Stores messages, in requests of up to 500. Each request stores all of its messages or none."""
        drive(self._client._run, _saved(self._conversation, messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Stores messages, in requests of up to 500. Each request stores all of its messages or none."""
        if self._async_client is None:
            return await super().aadd_messages(messages)
        await drive_async(self._async_client._run, _saved(self._conversation, messages))
        return None

    def clear(self) -> None:
        """Deletes the session's messages."""
        with suppress(NotFound):
            self._client.rewind_conversation(self.conversation_id)

    async def aclear(self) -> None:
        """Deletes the session's messages."""
        if self._async_client is None:
            return await super().aclear()
        with suppress(NotFound):
            await self._async_client.rewind_conversation(self.conversation_id)
        return None


def _complete(history: Sequence[Message]) -> list[BaseMessage]:
    return [to_langchain(message) for message in history if is_said(message)]
