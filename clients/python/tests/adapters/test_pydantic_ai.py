"""Pydantic AI's messages, stored and read back."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

from scrollback import AsyncClient, Client, Conversation, NewMessage
from scrollback.pydantic_ai import (
    from_pydantic_ai,
    load_messages,
    load_messages_async,
    save_messages,
    save_messages_async,
    to_pydantic_ai,
)
from tests.proxy import Proxy
from tests.turns import count, requests_of

# Histories have this part, although Pydantic AI has deprecated it.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    RETRY_OF_A_TOOL = RetryPromptPart("no such city", tool_name="weather", tool_call_id="call_3")
    RETRY = RetryPromptPart("answer in JSON")

MESSAGES: dict[str, ModelMessage] = {
    "a question": ModelRequest.user_text_prompt("Hello"),
    "instructions": ModelRequest([UserPromptPart("Hello")], instructions="Be brief.", metadata={"a": 1}),
    "a system prompt": ModelRequest([SystemPromptPart("Be brief.", dynamic_ref="x"), UserPromptPart("Hello")]),
    "an image": ModelRequest([UserPromptPart(["Look", ImageUrl("https://example.com/umbrella.png"), "and say"])]),
    "files": ModelRequest(
        [
            UserPromptPart(
                [
                    "Look",
                    ImageUrl("https://example.com/umbrella.png"),
                    BinaryContent(b"\xfb\xff\xfe", media_type="image/png"),
                    BinaryContent(b"\0\xff", media_type="application/pdf", identifier="rain.pdf"),
                    BinaryContent(b"\0\xff", media_type="audio/wav"),
                    DocumentUrl("https://example.com/rain.pdf", force_download=True),
                    TextContent("Quickly", metadata={"a": 1}),
                    CachePoint(),
                ]
            )
        ]
    ),
    "one file": ModelRequest([UserPromptPart([BinaryContent(b"", media_type="video/mp4")])]),
    "a tool's picture": ModelRequest(
        [ToolReturnPart("look", ["rain", BinaryContent(b"\xfb\xff\xfe", media_type="image/png")], "call_1")]
    ),
    "a tool's picture alone": ModelRequest(
        [ToolReturnPart("look", BinaryContent(b"\xfb\xff\xfe", media_type="image/png"), "call_1")]
    ),
    "a tool's other values": ModelRequest(
        [ToolReturnPart("look", value, f"call_{number}") for number, value in enumerate([None, 1, True, [], {}, ["a"]])]
    ),
    "a made picture": ModelResponse(
        [TextPart("Here"), FilePart(BinaryContent(b"\xfb\xff\xfe", media_type="image/png")), ThinkingPart("hm")]
    ),
    "only a made picture": ModelResponse([FilePart(BinaryContent(b"\xfb", media_type="image/png"))]),
    "bytes": ModelRequest([UserPromptPart(["Look", BinaryContent(b"\x00\xff", media_type="image/png")])]),
    "no parts": ModelRequest([]),
    "an empty list": ModelRequest([UserPromptPart([])]),
    "results": ModelRequest(
        [
            ToolReturnPart("weather", "rain", "call_1"),
            ToolReturnPart("now", {"hour": 7, "ä": [None, 1.5]}, "call_2"),
            RETRY_OF_A_TOOL,
            UserPromptPart("And now?"),
        ]
    ),
    "a retry": ModelRequest([RETRY]),
    "an answer": ModelResponse([TextPart("Hi")], model_name="m", usage=RequestUsage(input_tokens=3, output_tokens=1)),
    "calls": ModelResponse(
        [
            ThinkingPart("hm", signature="s"),
            TextPart("Wait."),
            ToolCallPart("weather", {"city": "Oslo"}, "call_1"),
            ToolCallPart("now", '{"a": 1}', "call_2"),
            ToolCallPart("stop", None, "call_3"),
        ]
    ),
    "two texts": ModelResponse([TextPart("a"), TextPart("b")]),
    "nothing": ModelResponse([]),
    "thoughts": ModelResponse([ThinkingPart("hm")]),
    "what the API refuses": ModelRequest([UserPromptPart("\0 \\u0000 \\")]),
}


def dumped(messages: list[ModelMessage]) -> Any:
    # Twice, because Pydantic AI reads a deprecated part as what replaces it.
    again = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(messages))
    return json.loads(ModelMessagesTypeAdapter.dump_json(again))


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_comes_back_as_it_went_in(client: Client, conversation: Conversation, message: ModelMessage) -> None:
    save_messages(client, conversation.id, [message])
    assert dumped(load_messages(client, conversation.id)) == dumped([message])


def test_many_messages_come_back_in_order(client: Client, conversation: Conversation) -> None:
    messages = list(MESSAGES.values()) * 30
    save_messages(client, conversation.id, messages)
    assert dumped(load_messages(client, conversation.id)) == dumped(messages)


def test_messages_that_are_saved_again_are_stored_once(client: Client, conversation: Conversation) -> None:
    # Another program has begun the conversation, and edits it.
    client.add_messages(conversation.id, [NewMessage("user", "Is it raining?"), NewMessage("assistant", "Yes.")])
    agent = Agent(TestModel(custom_output_text="It rains."), instructions="Be brief.")
    for turn in range(3):
        history = load_messages(client, conversation.id)
        result = asyncio.run(agent.run(f"Question {turn}", message_history=history))
        for _ in range(2):
            save_messages(client, conversation.id, result.all_messages())
        stored = client.get_chat_history(conversation.id).all()
        assert len(stored) == 2 + 2 * (turn + 1)
        client.update_message(conversation.id, stored[-2].id, content=f"Edited {turn}")
    contents = [message.content for message in stored if message.role == "user"]
    assert contents == ["Is it raining?", "Edited 0", "Edited 1", "Question 2"]
    # In another conversation, they are new.
    copy = client.get_or_create_conversation("ada", new=True)
    save_messages(client, copy.id, load_messages(client, conversation.id))
    assert client.get_conversation(copy.id).message_count == len(stored)
    assert "scrollback" not in str(client.get_chat_history(copy.id).all()[0].metadata["pydantic_ai"])


def test_equal_messages_of_one_turn_are_different_ones(client: Client, conversation: Conversation) -> None:
    twice = [ModelRequest([])] * 2
    for _ in range(2):
        save_messages(client, conversation.id, twice)
    assert client.get_conversation(conversation.id).message_count == 2


def test_pictures_and_files_have_a_form_that_other_programs_know(client: Client, conversation: Conversation) -> None:
    save_messages(
        client, conversation.id, [MESSAGES["files"], MESSAGES["a tool's picture"], MESSAGES["a made picture"]]
    )
    asked, returned, made = client.get_chat_history(conversation.id)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,+//+"}}
    assert asked.content == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://example.com/umbrella.png"}},
        picture,
        {"type": "file", "file": {"filename": "rain.pdf", "file_data": "data:application/pdf;base64,AP8="}},
        {"type": "input_audio", "input_audio": {"data": "AP8=", "format": "wav"}},
        {"type": "file", "data": "https://example.com/rain.pdf", "mediaType": "application/pdf"},
        {"type": "text", "text": "Quickly"},
        {"type": "pydantic_ai", "item": {"kind": "cache-point", "ttl": "5m"}},
    ]
    assert (returned.role, returned.content) == ("tool", [{"type": "text", "text": "rain"}, picture])
    assert made.content == [{"type": "text", "text": "Here"}, picture]
    context = client.get_context(conversation.id, format="anthropic").messages
    source = {"type": "base64", "media_type": "image/png", "data": "+//+"}
    assert {"type": "image", "source": source} in context[0]["content"]


def test_what_a_model_has_counted_is_the_messages_count() -> None:
    (stored,) = from_pydantic_ai([MESSAGES["an answer"]])
    assert stored.token_count == 1
    (stored,) = from_pydantic_ai([ModelResponse([TextPart("Hi")])])
    assert stored.token_count is None


def test_bytes_and_numbers_that_json_lacks_come_back_as_they_were(client: Client, conversation: Conversation) -> None:
    result = {"bytes": b"\0\xff", "more": [b"a", {"x": float("-inf")}], "nan": float("nan"), "text": "YQ=="}
    message = ModelRequest([ToolReturnPart("weather", result, "call_1", metadata={"raw": b"\xfb"})])
    call = ModelResponse([ToolCallPart("weather", {"limit": float("nan")}, "call_1")])
    save_messages(client, conversation.id, [call, message])
    again, returned = load_messages(client, conversation.id)
    # As text, because NaN is not NaN.
    assert repr(again.parts[0].args) == repr(call.parts[0].args)
    assert repr(returned.parts[0].content) == repr(result)
    assert returned.parts[0].metadata == {"raw": b"\xfb"}
    save_messages(client, conversation.id, load_messages(client, conversation.id))
    assert client.get_conversation(conversation.id).message_count == 2


def test_what_is_too_large_is_cut_with_a_note_and_the_answer_is_kept(
    client: Client, conversation: Conversation
) -> None:
    large = ModelRequest(
        [
            UserPromptPart(["Look", BinaryContent(b"\0" * (2 << 20), media_type="image/png")]),
            ToolReturnPart("read", {"text": "x" * (1 << 20), "pages": 3}, "call_1"),
        ]
    )
    thought = ModelResponse([ThinkingPart("hm" * (200 << 10)), TextPart("The answer")])
    save_messages(client, conversation.id, [large, thought])
    asked, returned, answer = client.get_chat_history(conversation.id)
    note = {"type": "text", "text": "[image_url: 2,796 kB, too large to store]"}
    assert asked.content == [{"type": "text", "text": "Look"}, note]
    assert "of 1,048,600 characters are stored]" in str(returned.content)[-60:]
    assert (answer.content, answer.status) == ("The answer", "complete")
    parts = [part for message in load_messages(client, conversation.id) for part in message.parts]
    assert [part.part_kind for part in parts] == ["user-prompt", "tool-return", "text"]


def test_the_asynchronous_functions_do_the_same(server_url: str, conversation: Conversation) -> None:
    async def store() -> list[ModelMessage]:
        async with AsyncClient(server_url) as client:
            await save_messages_async(client, conversation.id, list(MESSAGES.values()))
            return await load_messages_async(client, conversation.id)

    assert dumped(asyncio.run(store())) == dumped(list(MESSAGES.values()))


def test_an_agent_goes_on_where_it_was_and_a_context_pairs_its_calls(
    client: Client, conversation: Conversation
) -> None:
    agent = Agent(TestModel(custom_output_text="It rains."), system_prompt="Be brief.")

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    for question in ("Is it raining?", "And now?"):
        history = load_messages(client, conversation.id)
        result = asyncio.run(agent.run(question, message_history=history))
        save_messages(client, conversation.id, result.new_messages())
    assert dumped(load_messages(client, conversation.id)) == dumped(result.all_messages())

    context = client.get_context(conversation.id, format="openai")
    roles = [message["role"] for message in context.messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "user", "assistant"]
    assert (context.omitted, context.repaired) == (0, [])
    assert context.messages[2]["tool_calls"][0]["id"] == context.messages[3]["tool_call_id"]


def test_what_other_programs_have_stored_is_read(client: Client, conversation: Conversation) -> None:
    client.add_message(conversation.id, "developer", "Be brief.")
    client.add_message(
        conversation.id, "user", [{"type": "text", "text": "Is it"}, {"type": "text", "text": "raining?"}]
    )
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    client.add_message(conversation.id, "assistant", None, tool_calls=[call])
    client.add_message(conversation.id, "tool", "rain", tool_call_id="call_1", name="weather")
    client.add_message(conversation.id, "assistant", "Hm", status="in_progress")
    stopped = client.add_message(conversation.id, "assistant", "Yes, it", status="in_progress")
    client.cancel_reply(conversation.id, stopped.id)
    kinds = [part.part_kind for message in load_messages(client, conversation.id) for part in message.parts]
    assert kinds == ["system-prompt", "user-prompt", "tool-call", "tool-return", "text"]


def test_a_request_whose_beginning_was_deleted_is_still_a_request(client: Client, conversation: Conversation) -> None:
    request = ModelRequest([UserPromptPart("a"), UserPromptPart("b")])
    first, second = from_pydantic_ai([request])
    assert [part.content for part in to_pydantic_ai([second])[0].parts] == ["b"]
    assert len(to_pydantic_ai([first, second])) == 1


def test_calls_are_stored_in_the_form_of_chat_completions() -> None:
    (stored,) = from_pydantic_ai([MESSAGES["calls"]])
    assert stored.content == "Wait."
    assert isinstance(stored.tool_calls, list)
    arguments = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in stored.tool_calls]
    assert arguments == [
        ("call_1", "weather", '{"city": "Oslo"}'),
        ("call_2", "now", '{"a": 1}'),
        ("call_3", "stop", "{}"),
    ]
    results = from_pydantic_ai([MESSAGES["results"]])
    assert [message.role for message in results] == ["tool", "tool", "tool", "user"]


def test_a_turn_takes_as_many_requests_as_the_readme_says(proxy: Proxy, conversation: Conversation) -> None:
    with Client(proxy.url) as client:
        history = load_messages(client, conversation.id)
        result = Agent(TestModel()).run_sync("Is it raining?", message_history=history)
        save_messages(client, conversation.id, result.new_messages())
    assert count(proxy) == requests_of("Pydantic AI, `load_messages` and `save_messages`")[1]
