"""LangChain's messages, stored and read back."""

from __future__ import annotations

import asyncio
import json
import warnings
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
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.graph import START, MessagesState, StateGraph

from scrollback import AsyncClient, Client, Conversation, NewMessage, errors, new_id
from scrollback.langchain import (
    ScrollbackChatMessageHistory,
    from_langchain,
    save_messages,
    save_messages_async,
    to_langchain,
)
from tests.proxy import Proxy
from tests.turns import count, requests_of

CALL = {"name": "weather", "args": {"city": "Oslo", "n": 1.5, "ä": [None, {"x": "☂"}]}, "id": "call_1"}
CALL_OF_CHAT_COMPLETIONS = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
}
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
    "not a number": AIMessage("Hi", response_metadata={"logprobs": [float("nan"), float("-inf")]}),
    "not a number in a part": HumanMessage([{"type": "text", "text": "Hi", "score": float("nan")}]),
    "system chunk": SystemMessageChunk("Be brief."),
    "tool chunk": ToolMessageChunk("rain", tool_call_id="call_1"),
    "chunk with a call": AIMessageChunk(
        "", id="run-1", tool_call_chunks=[{"name": "a", "args": '{"n": 1}', "id": "1", "index": 0}]
    ),
    "chunk": AIMessageChunk("Hel", id="run-1", tool_call_chunks=[{"name": "a", "args": "{", "id": "1", "index": 0}]),
    "human chunk": HumanMessageChunk("Hel\0"),
}


def create_agent() -> Any:
    """A LangGraph agent whose model numbers its answers. The graph gives each message an id."""

    def answer(state: MessagesState) -> dict[str, Any]:
        questions = sum(isinstance(message, HumanMessage) for message in state["messages"])
        return {"messages": [AIMessage(f"Answer {questions}")]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", answer)
    graph.add_edge(START, "model")
    return graph.compile()


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_comes_back_as_it_was(client: Client, conversation: Conversation, name: str) -> None:
    message = MESSAGES[name]
    stored = client.add_messages(conversation.id, [from_langchain(message)])[0]
    (read,) = client.get_chat_history(conversation.id)
    for again in (to_langchain(stored), to_langchain(read)):
        assert type(again) is type(message)
        # As text, because NaN is not NaN.
        assert repr(again.model_dump()) == repr(message.model_dump())


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


def test_every_message_has_a_text_for_other_programs(client: Client, conversation: Conversation) -> None:
    word = f"umbrella{new_id().hex}"
    texts: list[BaseMessage] = [
        HumanMessage(f"1 {word}"),
        AIMessageChunk(f"2 {word}", usage_metadata={"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}),
        HumanMessageChunk(f"3 {word}"),
        ChatMessage(f"4 {word}", role="critic"),
        HumanMessage([{"type": "text", "text": f"5 {word}", "score": float("nan")}]),
        FunctionMessage(f"6 {word}", name="weather"),
    ]
    save_messages(client, conversation.id, texts)
    contents = [str(message["content"]) for message in client.get_context(conversation.id, format="openai").messages]
    assert [n for n in range(1, 7) if not any(f"{n} {word}" in content for content in contents)] == []
    assert len(client.search_messages("ada", word).all()) == 6
    # What the model has counted is the message's count.
    assert [message.token_count for message in client.get_chat_history(conversation.id)][:3] == [None, 5, None]


def test_a_message_that_is_saved_again_is_stored_once(client: Client, conversation: Conversation) -> None:
    client.add_messages(conversation.id, [NewMessage("system", "Be brief."), NewMessage("user", "Is it raining?")])
    client.add_message(conversation.id, "assistant", "Wait.", tool_calls=[CALL_OF_CHAT_COMPLETIONS])
    client.add_message(conversation.id, "tool", "rain", tool_call_id="call_1")
    agent = create_agent()
    for turn in range(3):
        context = client.get_context(conversation.id)
        history = [to_langchain(message) for message in context.messages]
        state = agent.invoke({"messages": [*history, HumanMessage(f"Question {turn}")]})
        # The state has the whole history. Messages that are stored already are not stored again.
        saved = save_messages(client, conversation.id, state["messages"])
        assert [message.position for message in saved] == list(range(1, 7 + 2 * turn))
    stored = client.get_chat_history(conversation.id).all()
    assert [message.content for message in stored][4:] == [
        text for turn in range(3) for text in (f"Question {turn}", f"Answer {turn + 2}")
    ]
    edited = client.update_message(conversation.id, stored[4].id, content="Another question")
    assert len(save_messages(client, conversation.id, [to_langchain(edited)])) == 1
    with pytest.raises(errors.Conflict):
        save_messages(client, conversation.id, [HumanMessage("Something else", id=str(edited.id))])
    assert client.get_chat_history(conversation.id).all()[4:] == [edited, *stored[5:]]


def test_an_asynchronous_save_does_the_same(server_url: str, conversation: Conversation) -> None:
    async def main() -> int:
        async with AsyncClient(server_url) as client:
            for _ in range(2):
                await save_messages_async(client, conversation.id, [HumanMessage("a", id="1"), AIMessage("b", id="2")])
            return (await client.get_conversation(conversation.id)).message_count

    assert asyncio.run(main()) == 2


def test_what_is_too_large_is_cut_with_a_note_and_the_answer_is_kept(
    client: Client, conversation: Conversation
) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * (2 << 20)}"}}
    turn: list[BaseMessage] = [
        HumanMessage([{"type": "text", "text": "Look"}, picture]),
        AIMessage("", tool_calls=[{"name": "write", "args": {"text": "x" * (300 << 10)}, "id": "call_1"}]),
        ToolMessage(f"{'☂' * (1 << 20)}", tool_call_id="call_1"),
        AIMessage("The answer", response_metadata={"logprobs": "x" * (300 << 10)}),
        # More than one request can hold.
        *(HumanMessage(str(n) * 1_000_000) for n in range(5)),
    ]
    save_messages(client, conversation.id, turn)
    stored = client.get_chat_history(conversation.id).all()
    assert stored[0].content == [
        {"type": "text", "text": "Look"},
        {"type": "text", "text": "[image_url: 2,097 kB, too large to store]"},
    ]
    (call,) = stored[1].tool_calls
    assert json.loads(call["function"]["arguments"]) == {"note": "[cut: 307,212 characters]"}
    assert stored[2].content.endswith("[cut: 349,492 of 1,048,576 characters are stored]")
    assert stored[3].content == "The answer"
    assert len(stored) == len(turn)
    assert [type(to_langchain(message)) for message in stored[:4]] == [HumanMessage, AIMessage, ToolMessage, AIMessage]


def test_a_deleted_conversation_does_not_come_back(server_url: str, client: Client) -> None:
    for asynchronous in (False, True):
        user = f"user-{new_id()}"
        other = AsyncClient(server_url) if asynchronous else None
        history = ScrollbackChatMessageHistory("rain", client, user_id=user, async_client=other)
        asyncio.run(history.aadd_messages([HumanMessage("Is it raining?")]))
        client.erase_user(user)
        with pytest.raises(errors.NotFound):
            asyncio.run(history.aadd_messages([AIMessage("Yes.")]))
        with pytest.raises(errors.NotFound):
            _ = history.messages
        with pytest.raises(errors.NotFound):
            asyncio.run(history.aget_messages())
        history.clear()
        assert client.get_user_conversations(user).all() == []
        # A new object is a new beginning.
        again = ScrollbackChatMessageHistory("rain", client, user_id=user)
        assert again.messages == []
        again.add_messages([HumanMessage("Hello")])
        assert again.messages == [HumanMessage("Hello")]


def test_a_runnable_does_not_bring_back_what_was_erased_while_it_ran(client: Client) -> None:
    user = f"user-{new_id()}"

    def model(messages: Any) -> AIMessage:
        client.erase_user(user)
        return AIMessage("Yes.")

    histories: dict[str, ScrollbackChatMessageHistory] = {}

    def history(session_id: str) -> ScrollbackChatMessageHistory:
        return histories.setdefault(session_id, ScrollbackChatMessageHistory(session_id, client, user_id=user))

    history("rain").add_messages([HumanMessage("Hello")])
    with warnings.catch_warnings():
        # LangChain has deprecated it.
        warnings.simplefilter("ignore")
        runnable = RunnableWithMessageHistory(RunnableLambda(model), history)
    # LangChain logs what the history raises at the end of a run, and goes on.
    assert runnable.invoke([HumanMessage("Is it?")], {"configurable": {"session_id": "rain"}}).content == "Yes."
    assert client.get_user_conversations(user).all() == []


def test_a_session_has_its_name_and_a_title(client: Client) -> None:
    user = f"user-{new_id()}"
    history = ScrollbackChatMessageHistory("rain\0", client, user_id=user)
    # The title comes with the user's first message, also if that is not the first one.
    history.add_messages([SystemMessage("Be brief.")])
    assert client.get_conversation(history.conversation_id).title is None
    history.add_messages([HumanMessage(f"  Is it\nraining\0 in {'Oslo ' * 100}"), AIMessage("Yes.")])
    history.add_messages([HumanMessage("And now?")])
    stored = client.get_conversation(history.conversation_id)
    assert stored.metadata == {"session_id": "rain"}
    assert stored.title is not None
    assert stored.title.startswith("Is it raining in Oslo Oslo")
    assert (len(stored.title) <= 80, stored.title[-1]) == (True, "…")
    named = ScrollbackChatMessageHistory(client.get_or_create_conversation(user, new=True).id, client, user_id=user)
    named.add_messages([HumanMessage("Hello")])
    assert client.get_conversation(named.conversation_id).title is None


def test_arguments_in_the_wrong_order_or_without_a_user_are_refused(client: Client) -> None:
    with pytest.raises(TypeError, match=r"^client must be a Client, and not str$"):
        ScrollbackChatMessageHistory(client, "rain", user_id="ada")  # type: ignore[arg-type]
    for user in (None, 42):
        with pytest.raises(TypeError, match=r"^user_id must be a text"):
            ScrollbackChatMessageHistory("rain", client, user_id=user)  # type: ignore[arg-type]


def test_what_is_not_json_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(TypeError, match=r"^artifact of the message is object, which JSON does not have$"):
        from_langchain(ToolMessage("x", tool_call_id="1", artifact=object()))
    with pytest.raises(TypeError, match=r"artifact\[1\] of the message is bytes"):
        from_langchain(ToolMessage("x", tool_call_id="1", artifact=[1, b"\0"]))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_history_creates_its_conversation_and_is_cleared(server_url: str, client: Client, asynchronous: bool) -> None:
    user = f"user-{new_id()}"
    other = AsyncClient(server_url) if asynchronous else None
    history = ScrollbackChatMessageHistory("rain", client, user_id=user, async_client=other)
    assert history.messages == asyncio.run(history.aget_messages()) == []
    history.clear()
    asyncio.run(history.aclear())
    many: list[BaseMessage] = [HumanMessage(str(n)) for n in range(501)]
    asyncio.run(history.aadd_messages(many))
    client.add_message(history.conversation_id, "assistant", "half", status="in_progress")
    stopped = client.add_message(history.conversation_id, "assistant", "stopped", status="in_progress")
    client.cancel_reply(history.conversation_id, stopped.id)
    many.append(AIMessage("stopped", id=str(stopped.id)))
    assert history.messages == asyncio.run(history.aget_messages()) == many
    same = ScrollbackChatMessageHistory("rain", client, user_id=user)
    assert same.conversation_id == history.conversation_id
    assert ScrollbackChatMessageHistory("rain", client, user_id="bob").messages == []
    assert ScrollbackChatMessageHistory(history.conversation_id, client, user_id=user).messages == many
    asyncio.run(history.aclear())
    assert history.messages == []
    history.add_messages([AIMessage("a")])
    history.clear()
    assert history.messages == []


def test_a_turn_takes_as_many_requests_as_the_readme_says(proxy: Proxy) -> None:
    with Client(proxy.url) as client, warnings.catch_warnings():
        # LangChain has deprecated it.
        warnings.simplefilter("ignore")
        history = ScrollbackChatMessageHistory("rain", client, user_id=f"user-{new_id()}")
        history.add_messages([HumanMessage("Hello"), AIMessage("Hi")])
        runnable = RunnableWithMessageHistory(RunnableLambda(lambda messages: AIMessage("Yes.")), lambda name: history)
        count(proxy)
        runnable.invoke([HumanMessage("Is it?")], {"configurable": {"session_id": "rain"}})
    assert count(proxy) == requests_of("LangChain, `RunnableWithMessageHistory`")[1]
