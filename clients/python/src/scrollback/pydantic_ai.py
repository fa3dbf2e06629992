"""Pydantic AI's messages in Scrollback. Needs the extra `pydantic-ai`: `pip install 'scrollback-client[pydantic-ai]'`.

`save_messages` stores what `AgentRunResult.new_messages()` returns, and `load_messages` returns it for `message_history`. Nothing is
lost. Other programs and `get_context` can read what is stored: a message for each part of a request, and one for each response, with tool
calls in the form of Chat Completions. What no field of Scrollback has is in `metadata["pydantic_ai"]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from ._adapters import escaped, unescaped
from ._client import AsyncClient, Client
from .models import Message, NewMessage

__all__ = [
    "from_pydantic_ai",
    "load_messages",
    "load_messages_async",
    "save_messages",
    "save_messages_async",
    "to_pydantic_ai",
]

_ROLES = {"system-prompt": "system", "user-prompt": "user", "tool-return": "tool", "retry-prompt": "user"}

# The name of what is ours in metadata, and the type of a content part that no API knows.
_NAME = "pydantic_ai"

# The API stores so many messages with one request.
_BATCH = 500


def from_pydantic_ai(messages: Iterable[ModelMessage]) -> list[NewMessage]:
    """Messages of Pydantic AI's, to be stored with `add_messages`.

    >>> from pydantic_ai.messages import ModelRequest
    >>> [(message.role, message.content) for message in from_pydantic_ai([ModelRequest.user_text_prompt("Hello")])]
    [('user', 'Hello')]
    """
    stored: list[NewMessage] = []
    for message in messages:
        dumped = _dumped([message])[0]
        readable = [escaped(new) for new in _readable(dumped)]
        if _restored(readable) == [dumped]:
            stored += readable
        else:
            # For example a request without parts.
            role = "user" if dumped["kind"] == "request" else "assistant"
            whole = NewMessage(role, [{"type": _NAME, "message": dumped}], metadata={_NAME: {}})
            stored.append(escaped(whole))
    return stored


def to_pydantic_ai(messages: Iterable[Message | NewMessage]) -> list[ModelMessage]:
    """Stored messages, as Pydantic AI's. Messages that other programs have stored are converted, too.

    >>> to_pydantic_ai([client.add_message(conversation.id, "user", "Hello")])[0].parts[0].content
    'Hello'
    """
    return ModelMessagesTypeAdapter.validate_python(_restored(messages))


def save_messages(client: Client, conversation_id: str | UUID, messages: Sequence[ModelMessage]) -> list[Message]:
    """Appends messages to a conversation: 500 at a time, each time all or none.

    >>> import asyncio
    >>> from pydantic_ai import Agent
    >>> from pydantic_ai.models.test import TestModel
    >>> agent = Agent(TestModel(custom_output_text="Yes."))
    >>> result = asyncio.run(agent.run("Is it raining?", message_history=load_messages(client, conversation.id)))
    >>> [message.role for message in save_messages(client, conversation.id, result.new_messages())]
    ['user', 'assistant']
    """
    stored: list[Message] = []
    for batch in _batches(messages):
        stored += client.add_messages(conversation_id, batch)
    return stored


async def save_messages_async(
    client: AsyncClient, conversation_id: str | UUID, messages: Sequence[ModelMessage]
) -> list[Message]:
    """The same as `save_messages`, asynchronously."""
    stored: list[Message] = []
    for batch in _batches(messages):
        stored += await client.add_messages(conversation_id, batch)
    return stored


def load_messages(client: Client, conversation_id: str | UUID) -> list[ModelMessage]:
    """All messages of a conversation, for `message_history`. Replies that are still being written are left out."""
    return to_pydantic_ai(_complete(client.get_chat_history(conversation_id).all()))


async def load_messages_async(client: AsyncClient, conversation_id: str | UUID) -> list[ModelMessage]:
    """The same as `load_messages`, asynchronously."""
    return to_pydantic_ai(_complete(await client.get_chat_history(conversation_id).all()))


def _complete(history: Iterable[Message]) -> list[Message]:
    return [message for message in history if message.status == "complete"]


def _batches(messages: Sequence[ModelMessage]) -> Iterable[list[NewMessage]]:
    new = from_pydantic_ai(messages)
    return [new[start : start + _BATCH] for start in range(0, len(new), _BATCH)]


def _dumped(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    # Through JSON, so that it is what comes back.
    dumped: list[dict[str, Any]] = json.loads(ModelMessagesTypeAdapter.dump_json(messages))
    return dumped


def _readable(dumped: dict[str, Any]) -> list[NewMessage]:
    message, parts = {**dumped}, [{**part} for part in dumped["parts"]]
    del message["parts"]
    if dumped["kind"] == "response":
        return [_response(message, parts)]
    return [_request_part(part, message if index == 0 else None) for index, part in enumerate(parts)]


def _request_part(part: dict[str, Any], message: dict[str, Any] | None) -> NewMessage:
    role = _ROLES.get(part["part_kind"], "user")
    name = tool_call_id = None
    if role == "tool" or part.get("tool_name"):
        # A retry of a tool is its result.
        role, name, tool_call_id = "tool", part.pop("tool_name", None), part.pop("tool_call_id", None)
    content = part.get("content", "")
    if isinstance(content, str):
        part.pop("content", None)
    elif part["part_kind"] == "user-prompt" and isinstance(content, list):
        content = [
            {"type": "text", "text": item} if isinstance(item, str) else {"type": _NAME, "item": item}
            for item in part.pop("content")
        ]
    else:
        content = json.dumps(content, ensure_ascii=False)
    ours: dict[str, Any] = {"part": part}
    if message is not None:
        ours["message"] = message
    return NewMessage(role, content, tool_call_id=tool_call_id, name=name, metadata={_NAME: ours})


def _response(message: dict[str, Any], parts: list[dict[str, Any]]) -> NewMessage:
    texts, calls = [], []
    for part in parts:
        if part["part_kind"] == "text":
            texts.append({"type": "text", "text": part.pop("content")})
        elif part["part_kind"] == "tool-call":
            arguments = part["args"]
            if isinstance(arguments, str):
                del part["args"]
            else:
                arguments = json.dumps(arguments or {}, ensure_ascii=False)
            function = {"name": part.pop("tool_name"), "arguments": arguments}
            calls.append({"id": part.pop("tool_call_id"), "type": "function", "function": function})
    content: Any = texts
    if len(texts) < 2:
        content = texts[0]["text"] if texts else None if calls else ""
    ours = {"message": message, "parts": parts}
    return NewMessage("assistant", content, tool_calls=calls or None, metadata={_NAME: ours})


def _restored(messages: Iterable[Message | NewMessage]) -> list[dict[str, Any]]:
    restored: list[dict[str, Any]] = []
    for message in messages:
        fields = unescaped(message)
        ours, content = fields["metadata"].get(_NAME), fields["content"]
        if not isinstance(ours, dict):
            restored.append(_foreign(message.role, fields))
        elif isinstance(content, list) and content and "message" in content[0]:
            restored.append(content[0]["message"])
        elif "parts" in ours:
            restored.append({**ours["message"], "parts": _response_parts(ours["parts"], fields)})
        else:
            if "message" in ours:
                restored.append({**ours["message"], "parts": []})
            elif not restored or restored[-1]["kind"] != "request":
                # The beginning of the request is not there any more.
                restored.append({"kind": "request", "parts": []})
            restored[-1]["parts"].append(_restored_part(ours["part"], fields))
    return restored


def _restored_part(rest: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    part, content = {**rest}, fields["content"]
    if isinstance(content, list):
        part["content"] = [item["text"] if item["type"] == "text" else item["item"] for item in content]
    elif "content" not in part:
        part["content"] = content
    if fields["name"] is not None:
        part["tool_name"] = fields["name"]
    if fields["tool_call_id"] is not None:
        part["tool_call_id"] = fields["tool_call_id"]
    return part


def _response_parts(rest: list[dict[str, Any]], fields: dict[str, Any]) -> list[dict[str, Any]]:
    content = fields["content"]
    texts = iter([item["text"] for item in content] if isinstance(content, list) else [content or ""])
    calls = iter(fields["tool_calls"] or [])
    parts = []
    for part in rest:
        whole = {**part}
        if part["part_kind"] == "text":
            whole["content"] = next(texts, "")
        elif part["part_kind"] == "tool-call":
            # Somebody may have edited the calls.
            call: Any = next(calls, {"id": "", "function": {"name": "", "arguments": "{}"}})
            whole = {"args": call["function"]["arguments"], **whole}
            whole.update(tool_name=call["function"]["name"], tool_call_id=call["id"])
        parts.append(whole)
    return parts


def _foreign(role: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A message that another program has stored."""
    content = fields["content"]
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    content = content or ""
    if role == "assistant":
        parts: list[dict[str, Any]] = [{"part_kind": "text", "content": content}] if content else []
        for call in fields["tool_calls"] if isinstance(fields["tool_calls"], list) else []:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                known = {"tool_name": str(function.get("name")), "tool_call_id": str(call.get("id"))}
                parts.append({"part_kind": "tool-call", "args": function.get("arguments"), **known})
        return {"kind": "response", "parts": parts}
    if role == "tool":
        known = {"tool_name": fields["name"] or "", "tool_call_id": fields["tool_call_id"] or ""}
        return {"kind": "request", "parts": [{"part_kind": "tool-return", "content": content, **known}]}
    kind = "user-prompt" if role == "user" else "system-prompt"
    return {"kind": "request", "parts": [{"part_kind": kind, "content": content}]}
