"""Pydantic AI's messages in Scrollback. Needs the extra `pydantic-ai` of the package.

`save_messages` stores what `AgentRunResult.new_messages()` or `all_messages()` returns. `load_messages` returns it for `message_history`.
Nothing is lost. Other programs and `get_context` can read what is stored: a message for each part of a request, and one for each response.
Tool calls, pictures and files have the form of Chat Completions. What no field of Scrollback has is in `metadata["pydantic_ai"]`.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from ._adapters import Conversation, escaped, fitted, id_of, is_said, opaque, restored, unescaped
from ._client import AsyncClient, Client
from ._exchange import Series, drive, drive_async
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

M = TypeVar("M", Message, NewMessage)

# The name of what is ours in metadata, and the type of a content part that no API knows.
_NAME = "pydantic_ai"

# Pydantic AI's own adapter writes NaN as null.
_JSON: TypeAdapter[list[ModelMessage]] = TypeAdapter(
    list[ModelMessage],
    config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants", defer_build=True),
)


def from_pydantic_ai(messages: Iterable[ModelMessage]) -> list[NewMessage]:
    """Messages of Pydantic AI's, to be stored with `add_messages`.

    The same message gets the same ids each time, so it is stored once, however often it is saved. What is too large for the API is cut, and
    a note says so.

    >>> from pydantic_ai.messages import ModelRequest
    >>> [(message.role, message.content) for message in from_pydantic_ai([ModelRequest.user_text_prompt("Hello")])]
    [('user', 'Hello')]
    """
    return _new(messages, None)


def to_pydantic_ai(messages: Iterable[M]) -> list[ModelMessage]:
    """Stored messages, as Pydantic AI's. Messages that other programs have stored are converted, too.

    >>> to_pydantic_ai([client.add_message(conversation.id, "user", "Hello")])[0].parts[0].content
    'Hello'
    """
    found = _restored(messages)
    seen: Counter[str] = Counter()
    for dumped, parts in found:
        # What another program has stored or edited would get other ids if it was saved again. So it says which ones it has.
        ids = [message.id for message in parts]
        if ids != [new.id for new in _parts_of(dumped, seen)] and isinstance(parts[0], Message):
            mark = {"conversation_id": str(parts[0].conversation_id)}
            dumped["metadata"] = {**(dumped.get("metadata") or {}), "scrollback": mark}
    return ModelMessagesTypeAdapter.validate_python([_with_bytes(dumped) for dumped, _ in found])


def save_messages(client: Client, conversation_id: str | UUID, messages: Sequence[ModelMessage]) -> list[Message]:
    """Appends messages to a conversation, and returns them as they are stored. Those that are stored already are not stored again.

    So the messages may be `new_messages()` or `all_messages()`. A request has 500 messages and 4 MiB at most. All messages of a request are
    stored, or none.

    >>> import asyncio
    >>> from pydantic_ai import Agent
    >>> from pydantic_ai.models.test import TestModel
    >>> agent = Agent(TestModel(custom_output_text="Yes."))
    >>> result = asyncio.run(agent.run("Is it raining?", message_history=load_messages(client, conversation.id)))
    >>> [message.role for message in save_messages(client, conversation.id, result.all_messages())]
    ['user', 'assistant']
    """
    return drive(client._run, _saved(conversation_id, messages))


async def save_messages_async(
    client: AsyncClient, conversation_id: str | UUID, messages: Sequence[ModelMessage]
) -> list[Message]:
    """The same as `save_messages`, asynchronously."""
    return await drive_async(client._run, _saved(conversation_id, messages))


def load_messages(client: Client, conversation_id: str | UUID) -> list[ModelMessage]:
    """All messages of a conversation, for `message_history`. Replies that are still being written are left out."""
    return to_pydantic_ai(_complete(client.get_chat_history(conversation_id).all()))


async def load_messages_async(client: AsyncClient, conversation_id: str | UUID) -> list[ModelMessage]:
    """The same as `load_messages`, asynchronously."""
    return to_pydantic_ai(_complete(await client.get_chat_history(conversation_id).all()))


def _complete(history: Iterable[Message]) -> list[Message]:
    return [message for message in history if is_said(message)]


def _saved(conversation_id: str | UUID, messages: Sequence[ModelMessage]) -> Series[list[Message]]:
    return (yield from Conversation.of(conversation_id).append(_new(messages, str(conversation_id))))


def _new(messages: Iterable[ModelMessage], conversation_id: str | None) -> list[NewMessage]:
    """The messages to store. Those that `to_pydantic_ai` has marked are in their conversation already."""
    seen: Counter[str] = Counter()
    new: list[NewMessage] = []
    for message in messages:
        dumped = _dumped(message)
        mark = (dumped.get("metadata") or {}).get("scrollback")
        if isinstance(mark, dict):
            if mark.get("conversation_id") == conversation_id:
                continue
            dumped["metadata"] = {
                name: value for name, value in dumped["metadata"].items() if name != "scrollback"
            } or None
        new += _parts_of(dumped, seen)
    return [fitted(message) for message in new]


def _parts_of(dumped: dict[str, Any], seen: Counter[str]) -> list[NewMessage]:
    """A message, in the form that the API takes. `seen` counts equal messages, which are different ones."""
    identity = _text(dumped)
    seen[identity] += 1
    ids = (id_of(_NAME, f"{seen[identity]} {number} {identity}") for number in range(len(dumped["parts"]) + 1))
    readable = [escaped(new) for new in _readable(dumped, ids)]
    again = _restored(readable)
    if len(again) == 1 and _text(again[0][0]) == identity:
        return readable
    # For example a request without parts.
    role = "user" if dumped["kind"] == "request" else "assistant"
    texts = [part["content"] for part in dumped["parts"] if isinstance(part.get("content"), str)]
    return [escaped(opaque(role, "\n".join(texts), _NAME, dumped, id=next(ids)))]


def _text(dumped: dict[str, Any]) -> str:
    return json.dumps(dumped, sort_keys=True, default=repr)


def _dumped(message: ModelMessage) -> dict[str, Any]:
    # Through JSON, so that it is what comes back. Twice, because a deprecated part is read as what replaces it.
    (read,) = _JSON.validate_json(_JSON.dump_json([message]))
    dumped: dict[str, Any] = json.loads(_JSON.dump_json([read]))[0]
    # Raw bytes are base64 in JSON. Where they are is remembered, because they would come back as texts.
    raw = list(_bytes(_JSON.dump_python([message])[0]))
    return {**dumped, "bytes": raw} if raw else dumped


def _bytes(value: Any) -> Iterator[list[str | int]]:
    """Where a value has bytes that are no file of Pydantic AI's, which it reads back itself."""
    is_file = isinstance(value, dict) and value.get("kind") == "binary"
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        key = key if isinstance(value, (list, tuple)) else str(key)
        if isinstance(item, bytes) and not is_file:
            yield [key]
        else:
            yield from ([key, *path] for path in _bytes(item))


def _with_bytes(dumped: dict[str, Any]) -> dict[str, Any]:
    for path in dumped.pop("bytes", []):
        holder: Any = dumped
        # A message that somebody has edited may be another one.
        with suppress(LookupError, TypeError, ValueError):
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = base64.urlsafe_b64decode(holder[path[-1]])
    return dumped


def _readable(dumped: dict[str, Any], ids: Iterator[UUID]) -> list[NewMessage]:
    message, parts = {**dumped}, [{**part} for part in dumped["parts"]]
    del message["parts"]
    if dumped["kind"] == "response":
        return [_response(message, parts, next(ids))]
    return [_request_part(part, message if index == 0 else None, next(ids)) for index, part in enumerate(parts)]


def _request_part(part: dict[str, Any], message: dict[str, Any] | None, id_: UUID) -> NewMessage:
    role = _ROLES.get(part["part_kind"], "user")
    name = tool_call_id = None
    if role == "tool" or part.get("tool_name"):
        # A retry of a tool is its result.
        role, name, tool_call_id = "tool", part.pop("tool_name", None), part.pop("tool_call_id", None)
    content = part.pop("content", None)
    if _is_file(content):
        content, part["file"] = [content], True
    if isinstance(content, list) and (part["part_kind"] == "user-prompt" or any(map(_is_file, content))):
        pairs = [_to_part(item) for item in content]
        content, part["items"] = [each for each, _ in pairs], [rest for _, rest in pairs]
    elif content is not None and not isinstance(content, str):
        content, part["json"] = json.dumps(content, ensure_ascii=False), True
    elif content is None:
        content, part["empty"] = "", True
    ours: dict[str, Any] = {"part": part}
    if message is not None:
        ours["message"] = message
    return NewMessage(role, content, tool_call_id=tool_call_id, name=name, metadata={_NAME: ours}, id=id_)


def _restored_part(rest: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    part, content = {**rest}, fields["content"]
    items, as_json, single = part.pop("items", None), part.pop("json", False), part.pop("file", False)
    if part.pop("empty", False) and not content:
        pass
    elif isinstance(content, list):
        rests = items if items is not None and len(items) == len(content) else [None] * len(content)
        part["content"] = [_from_part(each, rest) for each, rest in zip(content, rests, strict=True)]
        if single and len(content) == 1:
            (part["content"],) = part["content"]
    else:
        part["content"] = _loaded(content) if as_json else content
    if fields["name"] is not None:
        part["tool_name"] = fields["name"]
    if fields["tool_call_id"] is not None:
        part["tool_call_id"] = fields["tool_call_id"]
    return part


def _loaded(text: str) -> Any:
    # Somebody may have edited it.
    try:
        return json.loads(text)
    except ValueError:
        return text


def _is_file(item: Any) -> bool:
    return isinstance(item, dict) and item.get("kind") in (
        "binary",
        "image-url",
        "document-url",
        "audio-url",
        "video-url",
    )


_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}


def _to_part(item: Any) -> tuple[dict[str, Any], Any]:
    """An item of a prompt, as a content part and what that part does not have."""
    if isinstance(item, str):
        return {"type": "text", "text": item}, None
    rest = dict(item) if isinstance(item, dict) else {}
    kind, media_type = rest.get("kind"), str(rest.get("media_type"))
    if kind == "text-content" and isinstance(rest.get("content"), str):
        return {"type": "text", "text": rest.pop("content")}, rest
    if kind == "image-url":
        return {"type": "image_url", "image_url": {"url": rest.pop("url")}}, rest
    if kind in ("document-url", "audio-url", "video-url"):
        return {"type": "file", "data": rest.pop("url"), "mediaType": media_type}, rest
    if kind == "binary":
        # Pydantic AI writes base64 with the alphabet for URLs.
        data = rest.pop("data").translate(str.maketrans("-_", "+/"))
        if media_type.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}, rest
        if media_type in _AUDIO:
            return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[media_type]}}, rest
        file = {"filename": str(rest.get("identifier")), "file_data": f"data:{media_type};base64,{data}"}
        return {"type": "file", "file": file}, rest
    return {"type": _NAME, "item": item}, None


def _from_part(part: dict[str, Any], rest: Any) -> Any:
    """The item that a content part was. A part that is not what it was, or is another program's, becomes a text."""
    kind = part.get("type")
    if kind == _NAME and "item" in part:
        return part["item"]
    of = rest.get("kind") if isinstance(rest, dict) else None
    if kind == "text" and of in (None, "text-content"):
        return part["text"] if of is None else {**rest, "content": part["text"]}
    if kind == "image_url" and of == "image-url":
        return {**rest, "url": part["image_url"]["url"]}
    if kind == "file" and of in ("document-url", "audio-url", "video-url"):
        return {**rest, "url": part["data"]}
    if of == "binary":
        data = {
            "image_url": lambda: part["image_url"]["url"].partition(",")[2],
            "input_audio": lambda: part["input_audio"]["data"],
            "file": lambda: part["file"]["file_data"].partition(",")[2],
        }.get(str(kind))
        if data is not None:
            return {**rest, "data": data().translate(str.maketrans("+/", "-_"))}
    return part["text"] if isinstance(part.get("text"), str) else f"[{kind}]"


def _response(message: dict[str, Any], parts: list[dict[str, Any]], id_: UUID) -> NewMessage:
    shown, calls = [], []
    for part in parts:
        if part["part_kind"] == "text":
            shown.append({"type": "text", "text": part.pop("content")})
        elif part["part_kind"] == "file" and _is_file(part["content"]):
            file, part["file"] = _to_part(part.pop("content"))
            shown.append(file)
        elif part["part_kind"] == "tool-call":
            arguments = part["args"]
            if isinstance(arguments, str):
                del part["args"]
            elif arguments is None:
                arguments = "{}"
            else:
                arguments, part["args"] = json.dumps(arguments, ensure_ascii=False), True
            function = {"name": part.pop("tool_name"), "arguments": arguments}
            calls.append({"id": part.pop("tool_call_id"), "type": "function", "function": function})
    content: Any = shown
    if not shown:
        content = None if calls else ""
    elif len(shown) == 1 and shown[0]["type"] == "text":
        content = shown[0]["text"]
    ours = {"message": message, "parts": parts}
    token_count = (message.get("usage") or {}).get("output_tokens") or None
    return NewMessage(
        "assistant", content, tool_calls=calls or None, token_count=token_count, metadata={_NAME: ours}, id=id_
    )


def _restored(messages: Iterable[M]) -> list[tuple[dict[str, Any], list[M]]]:
    """The messages of Pydantic AI's, as JSON has them, each with those that it is stored as."""
    found: list[tuple[dict[str, Any], list[M]]] = []
    for message in messages:
        fields = unescaped(message)
        ours, content = fields["metadata"].get(_NAME), fields["content"]
        if not isinstance(ours, dict):
            found.append((_foreign(message.role, fields), [message]))
        elif (whole := restored(content, _NAME)) is not None:
            found.append((whole, [message]))
        elif "parts" in ours:
            found.append(({**ours["message"], "parts": _response_parts(ours["parts"], fields)}, [message]))
        else:
            if "message" in ours:
                found.append(({**ours["message"], "parts": []}, []))
            elif not found or found[-1][0]["kind"] != "request":
                # The beginning of the request is not there any more.
                found.append(({"kind": "request", "parts": []}, []))
            found[-1][0]["parts"].append(_restored_part(ours["part"], fields))
            found[-1][1].append(message)
    return found


def _response_parts(rest: list[dict[str, Any]], fields: dict[str, Any]) -> list[dict[str, Any]]:
    content = fields["content"]
    shown = iter(content if isinstance(content, list) else [{"type": "text", "text": content or ""}])
    calls = iter(fields["tool_calls"] or [])
    nothing: dict[str, Any] = {}
    parts = []
    for part in rest:
        whole = {**part}
        # Somebody may have edited the message, so there may be less of everything.
        if part["part_kind"] == "text":
            whole["content"] = next(shown, nothing).get("text", "")
        elif "file" in part:
            file = _from_part(next(shown, nothing), whole.pop("file"))
            whole = {**whole, "content": file} if _is_file(file) else {"part_kind": "text", "content": file}
        elif part["part_kind"] == "tool-call":
            call: Any = next(calls, {"id": "", "function": {"name": "", "arguments": "{}"}})
            arguments = call["function"]["arguments"]
            if whole.get("args", False) is not None:
                whole["args"] = _loaded(arguments) if "args" in whole else arguments
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
