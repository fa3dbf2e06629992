"""LangChain's messages in Scrollback. Needs the extra `langchain`: `pip install 'scrollback-client[langchain]'`.

`from_langchain` and `to_langchain` convert messages, and lose nothing. Other programs and `get_context` can read what is stored: text,
content parts, and tool calls in the form of Chat Completions. What no field of Scrollback has is in `metadata["langchain"]`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)

from ._adapters import conversation_of, escaped, unescaped
from ._client import AsyncClient, Client
from .errors import NotFound
from .models import Message, NewMessage

__all__ = ["ScrollbackChatMessageHistory", "from_langchain", "to_langchain"]

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
_ROLES_OF_TYPES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}

# A content part of this type holds what is not in the form of the API: a part without a type, or a message of another class.
_PART = "langchain"

# The API stores so many messages with one request.
_BATCH = 500


def from_langchain(message: BaseMessage) -> NewMessage:
    """A message of LangChain's, to be stored with `add_messages`.

    A message of another class than human, AI, system and tool is stored as a whole, in one content part. So is one that `to_langchain`
    would not restore.

    Raises:
        TypeError: a field has a value that is not JSON, such as a `ToolMessage.artifact` that is an object of your own.

    >>> from langchain_core.messages import HumanMessage
    >>> from_langchain(HumanMessage("Hello")).content
    'Hello'
    """
    role = _ROLES.get(type(message))
    if role is not None:
        readable = escaped(_readable(message, role))
        if _is_same(to_langchain(readable), message):
            return readable
    data = json.loads(json.dumps(message_to_dict(message)))
    # A chunk's type is the name of its class.
    kind = message.type.removesuffix("MessageChunk").lower()
    opaque = NewMessage(
        _ROLES_OF_TYPES.get(kind, "assistant"), [{"type": _PART, "message": data}], metadata={"langchain": {}}
    )
    return escaped(opaque)


def _is_same(one: BaseMessage, other: BaseMessage) -> bool:
    return type(one) is type(other) and one.model_dump() == other.model_dump()


def _readable(message: BaseMessage, role: str) -> NewMessage:
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
    # JSON turns a tuple into a list. What it cannot write is the caller's mistake, which is told before anything is sent.
    metadata = {"langchain": json.loads(json.dumps(fields))}
    return NewMessage(
        role,
        content,  # type: ignore[arg-type]
        tool_calls=tool_calls,
        tool_call_id=tool_call_id,
        name=name,
        metadata=metadata,
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
    content, theirs = fields["content"], fields["metadata"].get("langchain")
    first = content[0] if isinstance(content, list) and content else {}
    if theirs is not None and first.get("type") == _PART and "message" in first:
        (restored,) = messages_from_dict([first["message"]])
        return restored
    more: dict[str, Any] = dict(theirs) if theirs is not None else {"id": str(message.id)}
    bare = more.pop("bare", [])
    if isinstance(content, list):
        content = [part["part"] if part.get("type") == _PART else part for part in content]
        content = [part["text"] if index in bare else part for index, part in enumerate(content)]
    kind = _CLASSES.get(message.role, HumanMessage)
    if kind is AIMessage:
        calls, invalid = _calls(fields["tool_calls"])
        more["tool_calls"] = calls
        if invalid:
            more["invalid_tool_calls"] = [*more.get("invalid_tool_calls", []), *invalid]
    elif kind is ToolMessage:
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


class ScrollbackChatMessageHistory(BaseChatMessageHistory):
    """A chat history for `RunnableWithMessageHistory`.

    LangChain has deprecated `BaseChatMessageHistory` since langchain-core 1.6.4, and removes it in 2.0. New programs read `get_context` and
    write with `add_messages`, through `to_langchain` and `from_langchain`.

    Args:
        client: the client.
        session_id: the session's name. A `UUID` is the id of a conversation.
        user_id: whose session. The same name of another user is another session.
        async_client: for the asynchronous methods. Without it, they use `client` in a thread.

    The conversation is created with the first message. Replies that are still being written are left out of `messages`.

    >>> history = ScrollbackChatMessageHistory(client, "rain", user_id="ada")
    >>> history.add_user_message("Is it raining in Oslo?")
    >>> history.add_ai_message("Yes.")
    >>> print(history)
    Human: Is it raining in Oslo?
    AI: Yes.
    """

    def __init__(
        self, client: Client, session_id: str | UUID, *, user_id: str, async_client: AsyncClient | None = None
    ) -> None:
        super().__init__()
        self._client = client
        self._async_client = async_client
        self._user_id = user_id
        self.conversation_id = session_id if isinstance(session_id, UUID) else conversation_of(user_id, session_id)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """All messages of the session."""
        try:
            history = self._client.get_chat_history(self.conversation_id).all()
        except NotFound:
            return []
        return _complete(history)

    async def aget_messages(self) -> list[BaseMessage]:
        """All messages of the session."""
        if self._async_client is None:
            return await super().aget_messages()
        try:
            history = await self._async_client.get_chat_history(self.conversation_id).all()
        except NotFound:
            return []
        return _complete(history)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Stores messages: 500 at a time, each time all or none."""
        for batch in _batches(messages):
            try:
                self._client.add_messages(self.conversation_id, batch)
            except NotFound:  # noqa: PERF203
                self._client.get_or_create_conversation(self._user_id, id=self.conversation_id)
                self._client.add_messages(self.conversation_id, batch)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Stores messages: 500 at a time, each time all or none."""
        if self._async_client is None:
            return await super().aadd_messages(messages)
        for batch in _batches(messages):
            try:
                await self._async_client.add_messages(self.conversation_id, batch)
            except NotFound:  # noqa: PERF203
                await self._async_client.get_or_create_conversation(self._user_id, id=self.conversation_id)
                await self._async_client.add_messages(self.conversation_id, batch)
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
    return [to_langchain(message) for message in history if message.status == "complete"]


def _batches(messages: Sequence[BaseMessage]) -> list[list[NewMessage]]:
    new = [from_langchain(message) for message in messages]
    return [new[start : start + _BATCH] for start in range(0, len(new), _BATCH)]
