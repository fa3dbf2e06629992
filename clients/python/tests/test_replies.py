"""Replies that are streamed into a message, through a proxy that loses requests and answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from scrollback import AsyncClient, Client, Conversation, Retry, errors, new_id
from tests.proxy import CUT_ANSWER, FORWARD, LOSE_ANSWER, LOSE_REQUEST, SILENCE, Fault, Proxy

FAST = Retry(base=0.01)


class StopError(Exception):
    pass


Stream = Callable[..., Any]


@pytest.fixture(params=["Client", "AsyncClient"])
def stream(request: pytest.FixtureRequest, proxy: Proxy) -> Stream:
    """Streams pieces with a client of either kind. An item that can be called is called, and an exception is raised."""

    def run(conversation: Conversation, *items: Any, **options: Any) -> Any:
        with Client(proxy.url, retry=FAST) as client, client.stream_reply(conversation.id, **options) as reply:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    reply.write(item)
                elif item is Client.stream_reply:
                    reply.flush()
                else:
                    item(reply)
        return reply

    async def run_async(conversation: Conversation, *items: Any, **options: Any) -> Any:
        async with AsyncClient(proxy.url, retry=FAST) as client:
            async with client.stream_reply(conversation.id, **options) as reply:
                for item in items:
                    if isinstance(item, Exception):
                        raise item
                    if isinstance(item, str):
                        await reply.write(item)
                    elif item is Client.stream_reply:
                        await reply.flush()
                    else:
                        item(reply)
            return reply

    if request.param == "Client":
        return run
    return lambda *args, **kwargs: asyncio.run(run_async(*args, **kwargs))


FLUSH = Client.stream_reply


def appends(proxy: Proxy) -> list[tuple[int | None, str | None]]:
    bodies = [json.loads(seen.body) for seen in proxy.seen if seen.method == "PATCH"]
    return [(body.get("at"), body.get("append")) for body in bodies]


def test_text_is_stored_by_size_and_at_the_end(stream: Stream, proxy: Proxy, conversation: Conversation) -> None:
    reply = stream(conversation, "ab", "cd", "", "é☂\U0001f327", "x", flush_seconds=60, flush_characters=4)
    # The last request only ends the reply.
    assert appends(proxy) == [(0, "abcd"), (4, "é☂\U0001f327x"), (None, None)]
    assert (reply.message.content, reply.message.status) == ("abcdé☂\U0001f327x", "complete")
    assert (reply.text, reply.message.role, reply.message.id) == (reply.message.content, "assistant", reply.id)
    assert "abcd" not in repr(reply)


def test_text_is_stored_by_time(stream: Stream, proxy: Proxy, conversation: Conversation) -> None:
    def wait(reply: Any) -> None:
        time.sleep(0.06)

    stream(conversation, "a", wait, "b", "c", wait, "d", "e", FLUSH, FLUSH, "f", flush_seconds=0.05)
    pieces = appends(proxy)
    assert pieces[0] == (0, "ab")
    assert "".join(piece or "" for _, piece in pieces) == "abcdef"
    assert 4 <= len(pieces) <= 6


def test_a_reader_sees_the_reply_grow(stream: Stream, proxy: Proxy, client: Client, conversation: Conversation) -> None:
    seen = []

    def read(reply: Any) -> None:
        message = client.get_message(conversation.id, reply.id)
        seen.append((message.content, message.status, reply.message.content))

    stream(conversation, read, "a", FLUSH, read, "b", id=new_id(), name="model", metadata={"run": 1})
    assert seen == [("", "in_progress", ""), ("a", "in_progress", "a")]
    (message,) = client.get_chat_history(conversation.id)
    assert (message.content, message.status, message.name, message.metadata) == ("ab", "complete", "model", {"run": 1})


def test_what_is_known_at_the_end_is_stored_with_it(stream: Stream, proxy: Proxy, conversation: Conversation) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]

    def end(reply: Any) -> None:
        reply.tool_calls, reply.token_count, reply.metadata = calls, 7, {"finish": "tool_calls"}

    proxy.faults = [FORWARD, LOSE_ANSWER]
    message = stream(conversation, "Wait.", end).message
    assert (message.content, message.tool_calls, message.token_count) == ("Wait.", calls, 7)
    assert message.metadata == {"finish": "tool_calls"}
    assert len(proxy.seen) == 3
    empty = stream(conversation).message
    assert (empty.content, empty.status) == ("", "complete")


def test_a_reply_replaces_another_one(stream: Stream, client: Client, conversation: Conversation) -> None:
    client.add_message(conversation.id, "user", "Hello")
    old = client.add_message(conversation.id, "assistant", "Hm.")
    stream(conversation, "Hello!", from_=old.position, if_match=old.version)
    assert [message.content for message in client.get_chat_history(conversation.id)] == ["Hello", "Hello!"]
    with pytest.raises(errors.PreconditionFailed):
        stream(conversation, "Hi!", from_=old.position, if_match=old.version)


@pytest.mark.parametrize("fault", [LOSE_REQUEST, LOSE_ANSWER, CUT_ANSWER, Fault(503), Fault(503, afterwards=True)])
@pytest.mark.parametrize("request_number", range(4))
def test_a_fault_at_any_request_stores_the_text_once(
    stream: Stream, proxy: Proxy, client: Client, conversation: Conversation, fault: str | Fault, request_number: int
) -> None:
    proxy.faults = [*[FORWARD] * request_number, fault]
    stream(conversation, "one ", "two ", "three", flush_characters=4, flush_seconds=0.001)
    (message,) = client.get_chat_history(conversation.id)
    assert (message.content, message.status) == ("one two three", "complete")


def test_a_piece_that_is_not_stored_goes_with_the_next_one(
    stream: Stream, proxy: Proxy, conversation: Conversation
) -> None:
    def fail(reply: Any) -> None:
        # The first is stored and its answer lost; the second is lost.
        proxy.faults = [LOSE_ANSWER, LOSE_REQUEST]

    def wait(reply: Any) -> None:
        time.sleep(0.05)

    reply = stream(conversation, "a", FLUSH, fail, wait, "b", wait, "c", wait, "d", flush_seconds=0.01)
    assert reply.message.content == "abcd"
    assert appends(proxy)[:4] == [(0, "a"), (1, "b"), (1, "bc"), (1, "bcd")]
    # The conflict said that "b" is there.
    assert appends(proxy)[4] == (2, "cd")


def test_a_server_that_is_silent_does_not_end_the_reply(
    stream: Stream, proxy: Proxy, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scrollback._reply._PATIENCE", 0.3)
    proxy.faults = [FORWARD, SILENCE]
    assert stream(conversation, "one ", "two", flush_characters=4).message.content == "one two"


def test_another_writer_is_a_conflict(stream: Stream, client: Client, conversation: Conversation) -> None:
    def interfere(reply: Any) -> None:
        client.update_message(conversation.id, reply.id, append="!", at=1)

    with pytest.raises(errors.Conflict) as caught:
        stream(conversation, "a", FLUSH, interfere, "b")
    assert caught.value.length == 2
    (message,) = client.get_chat_history(conversation.id)
    assert (message.content, message.status) == ("a!", "in_progress")


def test_a_reader_stops_the_reply(stream: Stream, proxy: Proxy, client: Client, conversation: Conversation) -> None:
    def stop(reply: Any) -> None:
        for _ in range(2):
            assert client.cancel_reply(conversation.id, reply.id).status == "cancelled"

    # The next piece that is sent tells the writer. Nothing more is sent.
    with pytest.raises(errors.Cancelled):
        stream(conversation, "a", FLUSH, stop, "b", FLUSH, "c")
    assert appends(proxy) == [(0, "a"), (1, "b")]
    with pytest.raises(errors.Cancelled):
        stream(conversation, "a", FLUSH, stop)
    for message in client.get_chat_history(conversation.id):
        assert (message.content, message.status) == ("a", "cancelled")
    complete = client.add_message(conversation.id, "user", "Hello")
    with pytest.raises(errors.Conflict) as caught:
        client.cancel_reply(conversation.id, complete.id)
    assert (caught.value.code, caught.value.param) == ("conflict", "status")


def test_an_error_that_stays_is_raised_by_the_write(stream: Stream, client: Client, conversation: Conversation) -> None:
    with pytest.raises(errors.NotFound):
        stream(conversation, lambda reply: client.delete_message(conversation.id, reply.id), "abcd", flush_characters=4)


def test_the_end_raises_if_it_cannot_be_stored(stream: Stream, proxy: Proxy, conversation: Conversation) -> None:
    def fail(reply: Any) -> None:
        proxy.faults = [Fault(503)] * 6

    with pytest.raises(errors.ServerError):
        stream(conversation, "a", fail)


def test_an_exception_stores_what_was_written_and_leaves_the_reply_unfinished(
    stream: Stream, proxy: Proxy, client: Client, conversation: Conversation
) -> None:
    with pytest.raises(StopError):
        stream(conversation, "a", "b", StopError())
    (message,) = client.get_chat_history(conversation.id)
    assert (message.content, message.status) == ("ab", "in_progress")
    # The block's exception is raised, also if the text cannot be stored.
    with pytest.raises(StopError):
        stream(conversation, "a", lambda reply: proxy.faults.append(LOSE_REQUEST), StopError())


@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
def test_a_cancelled_reply_stores_what_was_written(proxy: Proxy, conversation: Conversation, kind: str) -> None:
    async def main() -> None:
        async with AsyncClient(proxy.url, retry=FAST) as client:

            async def write() -> None:
                async with client.stream_reply(conversation.id, flush_seconds=60) as reply:
                    await reply.write("Hello")
                    started.set()
                    await asyncio.sleep(60)

            started = asyncio.Event()
            if kind == "asyncio":
                task = asyncio.create_task(write())
                await started.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                # anyio cancels each `await` of a scope that is cancelled, as FastAPI does when a browser goes away.
                async with anyio.create_task_group() as group:
                    group.start_soon(write)
                    await started.wait()
                    group.cancel_scope.cancel()
                while (await client.get_conversation(conversation.id)).version == '"2"':  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            (message,) = await client.get_chat_history(conversation.id).all()
            assert (message.content, message.status) == ("Hello", "in_progress")

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_reply_is_written_in_its_block_only(client: Client, conversation: Conversation) -> None:
    reply = client.stream_reply(conversation.id)
    with pytest.raises(RuntimeError, match="inside of its block"):
        reply.write("a")
    with pytest.raises(RuntimeError, match="before its block"):
        _ = reply.message
    with reply:
        reply.write("a")
    with pytest.raises(RuntimeError, match="inside of its block"):
        reply.flush()
    with pytest.raises(RuntimeError, match="streamed once"):
        reply.__enter__()
