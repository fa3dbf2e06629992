"""LangChain's messages, stored and read back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from scrollback import AsyncClient, Client, Conversation, NewMessage, new_id
from scrollback.langchain import ScrollbackChatMessageHistory, from_langchain, to_langchain

CALL = {"name": "weather", "args": {"city": "Oslo", "n": 1.5, "ä": [None, {"x": "☂"}]}, "id": "call_1"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/umbrella.png"}}

MESSAGES: dict[str, BaseMessage] = {
    "human": HumanMessage("Hello"),
    "empty": HumanMessage(""),
    "id and name": HumanMessage("Hello", id="run-1", name="ada"),
    "empty id and name": HumanMessage("Hello", id="", name=""),
    "an extra field": HumanMessage("Hello", example=True, mood={"a": 1}),
    "parts": HumanMessage([{"type": "text", "text": "Look"}, IMAGE]),
    "bare strings": HumanMessage(["a", {"type": "text", "text": "b"}, "c"]),
    "a part without a type": HumanMessage([{"text": "a"}, {"type": None}, {"type": "langchain", "part": 1}]),
    "no parts": HumanMessage([]),
    "one part that looks like a message": HumanMessage([{"type": "text", "message": {"a": 1}}]),
    "system": SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"}),
    "ai": AIMessage("Hi", response_metadata={"model": "m", "logprobs": [-0.25]}),
    "usage": AIMessage("Hi", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    "calls": AIMessage("", tool_calls=[CALL, {"name": "now", "args": {}, "id": None}]),
    "calls beside raw ones": AIMessage(
        "",
        tool_calls=[CALL],
        additional_kwargs={"tool_calls": [{"id": "call_1", "function": {"name": "weather", "arguments": "{}"}}]},
    ),
    "anthropic's calls": AIMessage(
        [{"type": "text", "text": "Wait."}, {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}],
        tool_calls=[{"name": "weather", "args": {}, "id": "call_1"}],
    ),
    "invalid calls": AIMessage("", invalid_tool_calls=[{"name": "a", "args": "{", "id": "1", "error": "no JSON"}]),
    "tool": ToolMessage("rain", tool_call_id="call_1", name="weather"),
    "a failed tool": ToolMessage("no", tool_call_id="", status="error", artifact={"trace": [1, 2]}),
    "a tool's parts": ToolMessage([{"type": "text", "text": "rain"}, "snow"], tool_call_id="call_1"),
    "what the API refuses": HumanMessage("\0 \\u0000 \ud83c \\", id="\0", additional_kwargs={"\0": "\udc00"}),
    "refused arguments": AIMessage("", tool_calls=[{"name": "a", "args": {"\0": "\ud800\\"}, "id": "\0"}]),
    "chat": ChatMessage("Hello", role="critic"),
    "function": FunctionMessage("rain", name="weather"),
    "remove": RemoveMessage(id="1"),
    "chunk": AIMessageChunk("Hel", id="run-1", tool_call_chunks=[{"name": "a", "args": "{", "id": "1", "index": 0}]),
    "human chunk": HumanMessageChunk("Hel\0"),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_comes_back_as_it_was(client: Client, conversation: Conversation, name: str) -> None:
    message = MESSAGES[name]
    stored = client.add_messages(conversation.id, [from_langchain(message)])[0]
    (read,) = client.get_chat_history(conversation.id)
    for again in (to_langchain(stored), to_langchain(read)):
        assert type(again) is type(message)
        assert again.model_dump() == message.model_dump()


def test_other_programs_can_read_what_is_stored(client: Client, conversation: Conversation) -> None:
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("Is it raining?", id="h"),
        AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "call_1"}], id="a"),
        ToolMessage("rain", tool_call_id="call_1"),
        AIMessage(["Yes."]),
    ]
    client.add_messages(conversation.id, [from_langchain(message) for message in messages])
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    assert list(client.get_context(conversation.id, format="openai").messages) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Is it raining?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}]},
    ]
    assert [to_langchain(message) for message in client.get_context(conversation.id).messages] == messages


def test_what_other_programs_have_stored_can_be_read(client: Client, conversation: Conversation) -> None:
    calls: list[Any] = [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}},
        {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": "{"}},
        {"id": "call_3"},
        7,
    ]
    stored = client.add_messages(
        conversation.id,
        [
            NewMessage("developer", "Be brief."),
            NewMessage("user", [{"type": "text", "text": "Hi"}], name="ada"),
            NewMessage("assistant", tool_calls=calls),
            NewMessage("tool", "rain", tool_call_id="call_1"),
            NewMessage("assistant", "x", tool_calls={"any": "object"}),
        ],
    )
    developer, user, assistant, tool, other = map(to_langchain, stored)
    assert developer == SystemMessage(
        "Be brief.", id=str(stored[0].id), additional_kwargs={"__openai_role__": "developer"}
    )
    assert user == HumanMessage([{"type": "text", "text": "Hi"}], name="ada", id=str(stored[1].id))
    assert isinstance(assistant, AIMessage)
    assert [call["args"] for call in assistant.tool_calls] == [{"a": 1}]
    assert [call["id"] for call in assistant.invalid_tool_calls] == ["call_2"]
    assert tool == ToolMessage("rain", tool_call_id="call_1", id=str(stored[3].id))
    assert other.content == "x"


def test_what_is_not_json_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(TypeError):
        from_langchain(ToolMessage("x", tool_call_id="1", artifact=object()))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_history_creates_its_conversation_and_is_cleared(server_url: str, client: Client, asynchronous: bool) -> None:
    user = f"user-{new_id()}"
    other = AsyncClient(server_url) if asynchronous else None
    history = ScrollbackChatMessageHistory(client, "rain", user_id=user, async_client=other)
    assert history.messages == asyncio.run(history.aget_messages()) == []
    history.clear()
    asyncio.run(history.aclear())
    many: list[BaseMessage] = [HumanMessage(str(n)) for n in range(501)]
    asyncio.run(history.aadd_messages(many))
    client.add_message(history.conversation_id, "assistant", "half", status="in_progress")
    assert history.messages == asyncio.run(history.aget_messages()) == many
    same = ScrollbackChatMessageHistory(client, "rain", user_id=user)
    assert same.conversation_id == history.conversation_id
    assert ScrollbackChatMessageHistory(client, "rain", user_id="bob").messages == []
    assert ScrollbackChatMessageHistory(client, history.conversation_id, user_id=user).messages == many
    asyncio.run(history.aclear())
    assert history.messages == []
    history.add_messages([AIMessage("a")])
    history.clear()
    assert history.messages == []
