"""Items of the OpenAI Agents SDK, stored and read back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.items import TResponseInputItem
from agents.memory import Session, SessionSettings
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from scrollback import AsyncClient, Client, Conversation, NewMessage, Retry, errors, new_id
from scrollback.agents import ScrollbackSession, from_item, to_items
from tests.proxy import LOSE_ANSWER, Proxy
from tests.turns import count, requests_of

# Traces would be sent to OpenAI.
set_tracing_disabled(True)

PART = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": [{"token": "Hi", "logprob": -0.25}]}

ITEMS: dict[str, Any] = {
    "user": {"role": "user", "content": "Hello"},
    "typed user": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
    "assistant": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [PART],
        "phase": None,
    },
    "no text": {"role": "system", "content": ""},
    "developer": {"role": "developer", "content": "Be brief."},
    "critic": {"role": "critic", "content": "Hm."},
    "no content": {"role": "user"},
    "no type of a part": {"role": "user", "content": [{"text": "a"}, "b"]},
    "call": {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "weather",
        "arguments": '{"city": "Oslo"}',
        "status": "completed",
    },
    "call without arguments": {"type": "function_call", "call_id": "call_1", "name": "weather"},
    "call with null": {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": None},
    "call without id": {"type": "function_call", "name": "weather", "arguments": "{}"},
    "output": {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    "output parts": {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": [{"type": "input_text", "text": "rain"}],
    },
    "output object": {"type": "function_call_output", "call_id": "call_1", "output": {"a": 1}},
    "computer call": {"type": "computer_call", "id": "c", "call_id": "call_2", "action": {"type": "click", "x": 1}},
    "computer output": {"type": "computer_call_output", "call_id": "call_2", "output": {"type": "computer_screenshot"}},
    "shell call": {"type": "shell_call", "call_id": "call_3", "action": {"commands": ["ls"]}},
    "shell output": {"type": "shell_call_output", "call_id": "call_3", "output": [{"stdout": "a"}]},
    "patch call": {"type": "apply_patch_call", "call_id": "call_4", "operation": {"type": "delete_file", "path": "a"}},
    "patch output": {"type": "apply_patch_call_output", "call_id": "call_4", "status": "completed"},
    "custom call": {"type": "custom_tool_call", "call_id": "call_5", "name": "grep", "input": "a"},
    "custom output": {"type": "custom_tool_call_output", "call_id": "call_5", "output": "b"},
    "reasoning": {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA", "content": None},
    "hosted call": {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    "compaction": {"type": "compaction", "encrypted_content": "gAAA"},
    "reference": {"type": "item_reference", "id": "msg_1"},
    "envelope": {"__enc__": 1, "v": 1, "kid": "k", "payload": "gAAA"},
    "a type of our own": {"type": "opaque", "item": 1},
    "refused": {"role": "user", "content": "\0 \ud83c \\u0000 \\", "id": "\0"},
    "refused call": {"type": "function_call", "call_id": "\0", "name": "a", "arguments": '"\udc00\\"'},
    "refused item": {"type": "reasoning", "\0": "\ud800"},
    "not a number": {"type": "reasoning", "summary": [], "score": float("nan")},
    "not a number in a part": {"role": "user", "content": [{"type": "input_text", "text": "a", "score": float("inf")}]},
    "an item of our own type": {"type": "openai", "json": "{}"},
    "kinds of values": {"type": "x", "values": [True, 1, 1.5, None, {"a": []}]},
}


class FakeModel(Model):
    """A model that says yes."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        text = ResponseOutputText(text="Yes.", type="output_text", annotations=[], logprobs=[])
        message = ResponseOutputMessage(id="m", content=[text], role="assistant", status="completed", type="message")
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def session(server_url: str) -> ScrollbackSession:
    return ScrollbackSession("rain", AsyncClient(server_url), user_id=f"user-{new_id()}")


@pytest.mark.parametrize("name", ITEMS)
def test_an_item_comes_back_as_it_was(client: Client, conversation: Conversation, name: str) -> None:
    (stored,) = client.add_messages(conversation.id, [from_item(ITEMS[name])])
    # As text, because NaN is not NaN.
    assert json.dumps(to_items(stored), sort_keys=True) == json.dumps([ITEMS[name]], sort_keys=True)


def test_other_programs_can_read_what_is_stored(client: Client, conversation: Conversation) -> None:
    turn = [ITEMS[name] for name in ("developer", "user", "call", "output", "reasoning", "assistant")]
    client.add_messages(conversation.id, [from_item(item) for item in turn])
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    context = client.get_context(conversation.id, format="openai")
    assert list(context.open_calls) == []
    assert list(context.messages)[:4] == [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "call_1"},
    ]


def test_what_other_programs_have_stored_is_several_items(client: Client, session: ScrollbackSession) -> None:
    client.get_or_create_conversation(session._conversation._user_id, id=session.conversation_id)
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    client.add_messages(
        session.conversation_id,
        [
            NewMessage("user", r"C:\u0041", metadata={"scrollback": "theirs"}),
            NewMessage("assistant", "Wait.", tool_calls=[call, {"id": "x"}]),
            NewMessage("tool", "rain", tool_call_id="call_1"),
            NewMessage("assistant", "half", status="in_progress"),
        ],
    )
    stopped = client.add_message(session.conversation_id, "assistant", "Yes, it", status="in_progress")
    client.cancel_reply(session.conversation_id, stopped.id)
    items = [
        {"role": "user", "content": r"C:\u0041"},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
        {"role": "assistant", "content": "Yes, it"},
    ]
    assert asyncio.run(session.get_items()) == items
    assert asyncio.run(session.get_items(3)) == items[2:]
    for item in reversed(items):
        assert asyncio.run(session.pop_item()) == item
    assert asyncio.run(session.pop_item()) is None


def test_a_context_has_the_backslashes_that_were_said(client: Client, session: ScrollbackSession) -> None:
    said = r"C:\new\u0041 \\share \d+" + "\0"
    items: list[Any] = [
        {"role": "user", "content": said},
        {"type": "function_call", "call_id": "call_1", "name": "run", "arguments": json.dumps({"path": r"C:\new"})},
        {"type": "function_call_output", "call_id": "call_1", "output": "\0" + r"\n"},
    ]
    asyncio.run(session.add_items(items))
    question, call, output = client.get_context(session.conversation_id, format="openai").messages
    # Only what the API refuses is written in another way.
    assert question["content"] == said.replace("\0", r"\u0000")
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"path": r"C:\new"}
    assert output["content"] == r"\u0000\n"
    assert asyncio.run(session.get_items()) == items


def test_an_erased_session_does_not_come_back(client: Client) -> None:
    user = f"user-{new_id()}"

    class Model(FakeModel):
        async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
            client.erase_user(user)
            return await super().get_response(*args, **kwargs)

    async def main() -> None:
        async with AsyncClient(client._settings.origin) as asynchronous:
            session = ScrollbackSession("rain", asynchronous, user_id=user)
            await session.add_items([{"role": "user", "content": "Hello"}])
            with pytest.raises(errors.NotFound):
                await Runner.run(Agent("Weather", model=Model()), "Is it raining?", session=session)
            for call in (session.get_items, session.pop_item):
                with pytest.raises(errors.NotFound):
                    await call()
            await session.clear_session()
            assert client.get_user_conversations(user).all() == []
            # A new object is a new beginning.
            again = ScrollbackSession("rain", asynchronous, user_id=user)
            await Runner.run(Agent("Weather", model=FakeModel()), "Is it raining?", session=again)
            assert len(await again.get_items()) == 2

    asyncio.run(main())


def test_a_conversation_that_is_deleted_between_two_requests_of_a_write_does_not_come_back(
    client: Client, proxy: Proxy
) -> None:
    user = f"user-{new_id()}"
    session = ScrollbackSession("rain", AsyncClient(proxy.url), user_id=user)
    items: list[TResponseInputItem] = [{"role": "user", "content": str(n)} for n in range(501)]

    class Erase(list[Any]):
        def pop(self, index: int = -1) -> Any:  # type: ignore[override]
            # Before the fourth request: the messages after the first 500.
            if len(proxy.seen) == 4:
                client.erase_user(user)
            return super().pop(index)

    proxy.faults = Erase(["forward"] * 9)
    with pytest.raises(errors.NotFound):
        asyncio.run(session.add_items(items))
    assert client.get_user_conversations(user).all() == []


def test_a_session_has_its_name_and_a_title(client: Client, session: ScrollbackSession) -> None:
    asyncio.run(Runner.run(Agent("Weather", model=FakeModel()), "Is it raining in Oslo?", session=session))
    stored = client.get_conversation(session.conversation_id)
    assert (stored.title, stored.metadata) == ("Is it raining in Oslo?", {"session_id": "rain"})


def test_what_is_too_large_is_cut_with_a_note_and_the_answer_is_kept(
    client: Client, session: ScrollbackSession
) -> None:
    items: list[Any] = [
        {"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{'A' * (1 << 20)}"}]},
        {"type": "function_call", "call_id": "call_1", "name": "write", "arguments": f'"{"x" * (1 << 20)}"'},
        {"type": "function_call_output", "call_id": "call_1", "output": "x" * 1_200_000},
        {"type": "image_generation_call", "id": "ig_1", "result": "A" * (2 << 20), "status": "completed"},
        {**ITEMS["assistant"], "content": [{**PART, "text": "The answer"}]},
    ]
    asyncio.run(session.add_items(items))
    picture, call, output, made, answer = asyncio.run(session.get_items())
    note = {"type": "input_text", "text": "[input_image: 1,048 kB, too large to store]"}
    assert picture == {"role": "user", "content": [note]}
    assert json.loads(call["arguments"]) == {"note": "[cut: 1,048,578 characters]"}
    assert output["output"].endswith("[cut: 1,048,476 of 1,200,000 characters are stored]")
    assert (made["type"], made["id"]) == ("image_generation_call", "ig_1")
    assert made["result"].endswith(" of 2,097,152 characters are stored]")
    assert answer == items[-1]


def test_arguments_in_the_wrong_order_or_without_a_user_are_refused(server_url: str) -> None:
    with pytest.raises(TypeError, match=r"^client must be an AsyncClient, and not str$"):
        ScrollbackSession(AsyncClient(server_url), "rain", user_id="ada")  # type: ignore[arg-type]
    for user in (None, 42):
        with pytest.raises(TypeError, match=r"^user_id must be a text"):
            ScrollbackSession("rain", AsyncClient(server_url), user_id=user)  # type: ignore[arg-type]


def test_the_limit_counts_the_newest_items(session: ScrollbackSession) -> None:
    assert isinstance(session, Session)
    items: list[TResponseInputItem] = [{"role": "user", "content": str(n)} for n in range(1203)]
    assert asyncio.run(session.get_items()) == []
    asyncio.run(session.add_items([]))
    asyncio.run(session.add_items(items))
    for limit, expected in ((None, items), (2_147_483_647, items), (1100, items[-1100:]), (3, items[-3:]), (0, [])):
        assert asyncio.run(session.get_items(limit)) == expected
    session.session_settings = SessionSettings(limit=2)
    assert asyncio.run(session.get_items()) == items[-2:]
    asyncio.run(session.clear_session())
    assert asyncio.run(session.get_items()) == []


def test_two_callers_never_pop_the_same_item(session: ScrollbackSession) -> None:
    async def main() -> list[Any]:
        await session.add_items([{"role": "user", "content": str(n)} for n in range(6)])
        return await asyncio.gather(*(session.pop_item() for _ in range(8)))

    popped = [item["content"] for item in asyncio.run(main()) if item is not None]
    assert sorted(popped) == ["0", "1", "2", "3", "4", "5"]


def test_a_pop_whose_answer_was_lost_removes_one_item(proxy: Proxy, server_url: str) -> None:
    user = f"user-{new_id()}"
    items: list[TResponseInputItem] = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    asyncio.run(ScrollbackSession("s", AsyncClient(server_url), user_id=user).add_items(items))
    session = ScrollbackSession("s", AsyncClient(proxy.url, retry=Retry(base=0.01)), user_id=user)
    proxy.faults = ["forward", LOSE_ANSWER]
    assert asyncio.run(session.pop_item()) == items[1]
    assert asyncio.run(session.get_items()) == items[:1]


def test_a_cancelled_write_is_done_before_the_cancellation_goes_on(session: ScrollbackSession) -> None:
    async def main() -> list[TResponseInputItem]:
        task = asyncio.create_task(session.add_items([{"role": "user", "content": "a"}]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await session.get_items()

    assert asyncio.run(main()) == [{"role": "user", "content": "a"}]


def test_a_compaction_replaces_the_end_at_once_or_not_at_all(session: ScrollbackSession) -> None:
    def item(text: str) -> TResponseInputItem:
        return {"role": "user", "content": text}

    async def main() -> None:
        await session.add_items([item(text) for text in "abcd"])
        snapshot = await session._get_compaction_snapshot(3)
        assert snapshot is not None
        assert (snapshot.items, snapshot.complete) == ([item(text) for text in "bcd"], False)
        assert await snapshot.replace_suffix(1, [item("C")])
        assert await session.get_items() == [item(text) for text in "abC"]
        # The stored end is another one now.
        assert not await snapshot.replace_suffix(1, [item("D")])
        again = await session._get_compaction_snapshot(9, prune_prefix=lambda old: old == item("a"))
        assert again is not None
        assert again.complete
        await session.add_items([item("e")])
        assert not await again.replace_suffix(0, [item("x")])
        last = await session._get_compaction_snapshot(1, prune_prefix=lambda old: old == item("a"))
        assert last is not None
        assert await last.replace_suffix(0, [])
        assert await session.get_items() == [item(text) for text in "bC"]

    asyncio.run(main())


def test_a_closed_session_says_so_and_the_client_stays_open(session: ScrollbackSession) -> None:
    async def main() -> None:
        await session.add_items([{"role": "user", "content": "a"}])
        await session.close()
        await session.close()
        for call in (session.get_items, session.pop_item, session.clear_session):
            with pytest.raises(RuntimeError, match="is closed"):
                await call()
        with pytest.raises(RuntimeError, match="is closed"):
            await session.add_items([])
        again = ScrollbackSession(session.conversation_id, session._client, user_id="ada")
        assert len(await again.get_items()) == 1

    asyncio.run(main())


def test_a_turn_takes_as_many_requests_as_the_readme_says(proxy: Proxy) -> None:
    session = ScrollbackSession("rain", AsyncClient(proxy.url), user_id=f"user-{new_id()}")
    agent = Agent("Weather", model=FakeModel())
    asyncio.run(Runner.run(agent, "Is it raining?", session=session))
    count(proxy)
    asyncio.run(Runner.run(agent, "And now?", session=session))
    assert count(proxy) == requests_of("OpenAI Agents SDK, `ScrollbackSession`")[1]
