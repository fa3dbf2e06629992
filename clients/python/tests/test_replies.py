"""Replies that are streamed into a message, through a proxy that loses requests and answers."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import anyio
import pytest

from scrollback import AsyncClient, Client, Conversation, Retry, Turn, errors, new_id
from tests.proxy import CUT_ANSWER, FORWARD, LOSE_ANSWER, LOSE_REQUEST, SILENCE, Fault, Proxy

FAST = Retry(base=0.01)


class StopError(Exception):
    pass


Stream = Callable[..., Any]


@pytest.fixture(params=["Client", "AsyncClient"])
def stream(request: pytest.FixtureRequest, proxy: Proxy) -> Stream:
    """Streams pieces with a client of either kind. A number is a silence of so many seconds. An item that can
    be called is called, and an exception is raised."""

    def run(where: Conversation | Turn, *items: Any, **options: Any) -> Any:
        place = where if isinstance(where, Turn) else where.id
        with Client(proxy.url, retry=FAST) as client, client.stream_reply(place, **options) as reply:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, float):
                    time.sleep(item)
                elif isinstance(item, str):
                    reply.write(item)
                elif item is Client.stream_reply:
                    reply.flush()
                else:
                    item(reply)
        return reply

    async def run_async(where: Conversation | Turn, *items: Any, **options: Any) -> Any:
        place = where if isinstance(where, Turn) else where.id
        async with AsyncClient(proxy.url, retry=FAST) as client:
            async with client.stream_reply(place, **options) as reply:
                for item in items:
                    if isinstance(item, Exception):
                        raise item
                    if isinstance(item, float):
                        await asyncio.sleep(item)
                    elif isinstance(item, str):
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


class BadNetwork(list[Any]):
    """A proxy's faults without an end, as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    def __bool__(self) -> bool:
        return True

    def pop(self, index: int = -1) -> Any:  # type: ignore[override]
        return self.chance.choice(
            [FORWARD] * 5 + [LOSE_ANSWER, LOSE_REQUEST, CUT_ANSWER, Fault(503), Fault(503, afterwards=True)]
        )


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
    stream(conversation, "a", 0.3, "b", "c", 0.3, "d", "e", FLUSH, FLUSH, "f", flush_seconds=0.05)
    pieces = appends(proxy)
    # While the model is silent, too.
    assert pieces[0] == (0, "a")
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


@pytest.mark.parametrize("fault", [LOSE_REQUEST, LOSE_ANSWER, CUT_ANSWER, Fault(503), Fault(503, afterwards=True)])
@pytest.mark.parametrize("request_number", range(3))
def test_a_reply_is_written_where_its_turn_has_the_place(
    stream: Stream, proxy: Proxy, client: Client, conversation: Conversation, fault: str | Fault, request_number: int
) -> None:
    turn = client.turn(conversation.id, "user", "Hello", reply_id=True)
    assert turn.reply is not None
    proxy.faults = [*[FORWARD] * request_number, fault]
    reply = stream(turn, "one ", "two ", "three", flush_characters=4, flush_seconds=0.001)
    assert (reply.id, reply.message.content, reply.message.status) == (turn.reply.id, "one two three", "complete")
    # The first request has the first piece.
    assert appends(proxy)[0] == (0, "one ")
    assert {seen.method for seen in proxy.seen} <= {"PATCH", "GET"}
    assert len(client.get_chat_history(conversation.id).all()) == 2


def test_a_turn_with_a_whole_reply_is_two_requests(stream: Stream, proxy: Proxy, conversation: Conversation) -> None:
    with Client(proxy.url) as behind:
        turn = behind.turn(conversation.id, "user", "Hello", reply_id=True)
    reply = stream(turn, "Hi")
    assert [seen.method for seen in proxy.seen] == ["POST", "PATCH"]
    assert reply.message.content == "Hi"


def test_a_turn_that_is_begun_again_goes_on_with_the_same_text(
    stream: Stream, client: Client, conversation: Conversation
) -> None:
    ids: dict[str, Any] = {"id": new_id(), "reply_id": new_id()}
    first = client.turn(conversation.id, "user", "Hello", **ids)
    with pytest.raises(StopError):
        stream(first, "one ", "two ", StopError())
    again = client.turn(conversation.id, "user", "Hello", **ids)
    assert again.replayed
    assert again.reply is not None
    assert (again.reply.content, again.reply.status) == ("one two ", "in_progress")
    # Another text is not mixed with the first one.
    for other in (["une deux trois"], ["one ", "two"], ["one ", FLUSH]):
        with pytest.raises(errors.Conflict):
            stream(again, *other)
    # Pieces that are smaller and larger than those that are stored.
    message = stream(again, "one", FLUSH, " two th", FLUSH, "ree").message
    assert (message.content, message.status) == ("one two three", "complete")
    whole = client.turn(conversation.id, "user", "Hello", **ids)
    assert stream(whole, "one two three").message.status == "complete"
    with pytest.raises(errors.Conflict):
        stream(whole, "one ", "two")
    # It is written anew in place of what is there.
    assert whole.reply is not None
    stream(conversation, "une", from_=whole.reply.position)
    assert [each.content for each in client.get_chat_history(conversation.id)] == ["Hello", "une"]


def test_a_turn_without_a_place_for_the_reply_is_refused(client: Client, conversation: Conversation) -> None:
    with pytest.raises(ValueError, match="reply_id=True"):
        client.stream_reply(client.turn(conversation.id, "user", "Hello"))
    turn = client.turn(conversation.id, "user", "Hello", reply_id=True)
    with pytest.raises(ValueError, match="stored already"):
        client.stream_reply(turn, metadata={"a": 1})


def test_a_piece_that_is_not_stored_goes_with_the_next_one(
    stream: Stream, proxy: Proxy, conversation: Conversation
) -> None:
    def fail(reply: Any) -> None:
        # The first is stored and its answer lost; the second is lost.
        proxy.faults = [LOSE_ANSWER, LOSE_REQUEST]

    reply = stream(conversation, "a", FLUSH, fail, 0.05, "b", 0.05, "c", 0.05, "d", flush_seconds=0.01)
    assert reply.message.content == "abcd"
    pieces = appends(proxy)
    assert pieces[:2] == [(0, "a"), (1, "b")]
    # The third was lost, and a later one was a conflict, which said that "b" is there.
    assert [at for at, _ in pieces[2:4]] == [1, 1]
    assert pieces[4][0] == 2


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
        stream(conversation, "a", lambda reply: proxy.faults.extend([LOSE_REQUEST] * 6), StopError())


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
            assert (message.content, message.status) == ("Hello", "cancelled")

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_silent_reply_is_stored_and_kept_alive(
    stream: Stream, proxy: Proxy, client: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scrollback._reply._BEAT", 0.3)
    seen = []

    def read(reply: Any) -> None:
        seen.append(client.get_message(conversation.id, reply.id).content)

    # As of a model that says something and then waits for a tool.
    stream(conversation, "Wait, I ", "look.", 0.5, read, 1.0, read, flush_seconds=0.05)
    assert seen == ["Wait, I look."] * 2
    # The writer also sent signs of life, which readers do not see.
    assert appends(proxy).count((13, "")) >= 2


def test_a_reader_stops_a_silent_reply(
    stream: Stream, proxy: Proxy, client: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scrollback._reply._BEAT", 0.1)
    seen = []

    def cancel(reply: Any) -> None:
        client.cancel_reply(conversation.id, reply.id)
        seen.append((reply.stopped, reply))

    with pytest.raises(errors.Cancelled):
        stream(conversation, "a", FLUSH, cancel, 0.6, lambda reply: seen.append((reply.stopped, reply)), "b")
    assert [stopped for stopped, _ in seen] == [False, True]
    assert seen[1][1].message.status == "cancelled"
    requests = len(proxy.seen)
    time.sleep(0.3)
    # Nothing is left behind that sends.
    assert len(proxy.seen) == requests


def test_a_reply_is_stopped_by_its_writer(proxy: Proxy, client: Client, conversation: Conversation) -> None:
    with client.stream_reply(conversation.id) as reply:
        for piece in ("It is ", "rain"):
            reply.write(piece)
        reply.stop()
        with pytest.raises(RuntimeError, match="before it is stopped"):
            reply.write("ing.")
    assert (reply.message.content, reply.message.status, reply.stopped) == ("It is rain", "cancelled", True)

    async def main() -> None:
        async with AsyncClient(proxy.url, retry=FAST) as asynchronous:
            async with asynchronous.stream_reply(conversation.id) as reply:
                await reply.write("Hm")
                # A reader has stopped it before.
                client.cancel_reply(conversation.id, reply.id)
                await reply.stop()
            assert (reply.message.content, reply.message.status) == ("", "cancelled")

    asyncio.run(main())
    # What the user has read is in the context.
    client.add_message(conversation.id, "user", "Go on")
    shown = [message.content for message in client.get_chat_history(conversation.id)]
    assert shown == ["It is rain", "", "Go on"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()])
def test_a_model_that_is_interrupted_was_stopped(client: Client, conversation: Conversation, error: Any) -> None:
    def pieces() -> Generator[str, None, None]:
        with client.stream_reply(conversation.id) as reply:
            for piece in ("It is ", "raining"):
                reply.write(piece)
                yield piece

    generator = pieces()
    next(generator)
    if isinstance(error, GeneratorExit):
        # As a web framework does when a browser goes away.
        generator.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            generator.throw(error)
    (message,) = client.get_chat_history(conversation.id)
    assert (message.content, message.status) == ("It is ", "cancelled")


def test_characters_that_the_api_refuses_do_not_end_the_reply(stream: Stream, conversation: Conversation) -> None:
    # The halves of a pair come in two pieces, as from a model's deltas that were cut in JSON.
    reply = stream(conversation, "a\0b ", "\ud83c", "\udf27", FLUSH, " \udf27 c\ud83c", flush_seconds=60)
    assert reply.message.content == "a\ufffdb \U0001f327 \ufffd c\ufffd"


def test_a_reply_that_is_too_long_is_cut_and_says_so(stream: Stream, conversation: Conversation) -> None:
    message = stream(conversation, *["x" * 500_000] * 3).message
    assert message.status == "complete"
    assert message.content.endswith("xx\n[cut: 1,000,000 of 1,500,000 characters are stored]")


def test_an_end_that_the_api_refuses_is_raised_and_the_answer_is_kept(
    stream: Stream, client: Client, conversation: Conversation
) -> None:
    def end(reply: Any) -> None:
        reply.metadata = {"trace": "x" * (300 << 10)}

    with pytest.raises(errors.PayloadTooLarge):
        stream(conversation, "The answer", end)
    (message,) = client.get_chat_history(conversation.id)
    assert (message.content, message.status) == ("The answer", "complete")


def test_nothing_that_was_shown_is_lost_or_stored_twice(
    proxy: Proxy, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random replies to one conversation at the same time, over a bad network: what each one has shown is what is stored."""
    monkeypatch.setattr("scrollback._reply._BEAT", 0.05)
    # The rest of a reply after an exception has a few seconds and attempts. Here only the order of events decides, and not luck.
    monkeypatch.setattr("scrollback._reply._PATIENCE", 60.0)
    monkeypatch.setattr("scrollback._reply._LAST_ATTEMPTS", 30)
    seed = random.randrange(1 << 32)  # noqa: S311
    chance = random.Random(seed)  # noqa: S311

    conversation = client.get_or_create_conversation("ada", new=True)
    proxy.faults = BadNetwork(chance)
    shown: dict[Any, tuple[str, set[str]]] = {}

    async def write(asynchronous: AsyncClient, number: int) -> None:
        options: dict[str, Any] = {
            "flush_seconds": chance.choice([0.0, 0.01, 0.05]),
            "flush_characters": chance.choice([1, 8, 99]),
        }
        ending = chance.choice(["whole", "stop", "reader", "task", "error", "deleted", "again"])
        has_turn = ending == "again" or chance.random() < 0.5
        question, id_ = new_id(), new_id()
        pieces = chance.randrange(1, 12)
        said = ""

        async def model(fails: bool) -> None:
            nonlocal said
            said = ""
            place: Any = conversation.id
            if has_turn:
                # With the same ids each time, as a program does that begins anew after a crash.
                place = await asynchronous.turn(conversation.id, "user", f"{number}?", id=question, reply_id=id_)
            more: dict[str, Any] = {} if has_turn else {"id": id_}
            async with asynchronous.stream_reply(place, **options, **more) as reply:
                for piece in range(pieces):
                    await asyncio.sleep(chance.choice([0, 0, 0.01, 0.1]))
                    if ending == "reader" and piece == 3:
                        client.cancel_reply(conversation.id, id_)
                    if ending == "deleted" and piece == 3:
                        client.delete_message(conversation.id, id_)
                    if fails and piece == 5:
                        raise StopError
                    text = f"{number}.{piece}☂ "
                    await reply.write(text)
                    said += text
                if ending == "stop":
                    await reply.stop()

        async def run() -> None:
            if ending == "again":
                with suppress(StopError):
                    await model(fails=True)
            await model(fails=ending == "error")

        task = asyncio.create_task(run())
        if ending == "task":
            asyncio.get_running_loop().call_later(0.1, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            states = {"cancelled"}
        except StopError:
            states = {"in_progress"}
        except errors.Cancelled:
            states = {"reader"}
        except errors.NotFound:
            states = {"deleted"}
        else:
            states = {"cancelled" if ending == "stop" else "complete"}
        shown[id_] = (said, states)

    async def main() -> None:
        async with AsyncClient(proxy.url, retry=Retry(base=0.001, attempts=30)) as asynchronous:
            await asyncio.gather(*(write(asynchronous, number) for number in range(24)))

    asyncio.run(asyncio.wait_for(main(), 240))
    proxy.faults = []
    history = client.get_chat_history(conversation.id).all()
    questions = [message.content for message in history if message.role == "user"]
    assert len(questions) == len(set(questions)), seed
    stored = {message.id: message for message in history if message.role == "assistant"}
    for id_, (said, states) in shown.items():
        message = stored.pop(id_, None)
        if "deleted" in states:
            assert message is None, seed
        elif "reader" in states:
            # The reader has stopped it where they were.
            assert message is not None, seed
            assert message.status == "cancelled", seed
            assert said.startswith(str(message.content)), seed
        elif message is not None:
            # A write that was cancelled may have been taken.
            assert str(message.content).startswith(said), seed
            assert len(str(message.content)) - len(said) in (0, *range(4, 9)), seed
            # A task that was cancelled before its block began may have stored the beginning.
            expected = states if said else states | {"in_progress"}
            assert message.status in expected or "in_progress" in states, (seed, message.status, states)
        else:
            # Only an end before the beginning leaves nothing.
            assert said == "", (seed, said, states)
    assert stored == {}, seed


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


Follow = Callable[..., tuple[list[str], Any]]


@pytest.fixture(params=["Client", "AsyncClient"])
def follow(request: pytest.FixtureRequest) -> Follow:
    """Reads a reply to its end, with a client of either kind."""

    def run(url: str, *args: Any, retry: Retry = FAST, **options: Any) -> Any:
        with Client(url, timeout=1, retry=retry) as client:
            following = client.follow_reply(*args, **options)
            return list(following), following.message

    async def run_async(url: str, *args: Any, retry: Retry = FAST, **options: Any) -> Any:
        async with AsyncClient(url, timeout=1, retry=retry) as client:
            following = client.follow_reply(*args, **options)
            return [piece async for piece in following], following.message

    if request.param == "Client":
        return run
    return lambda *args, **options: asyncio.run(run_async(*args, **options))


def test_a_reader_of_a_silent_reply_waits_in_one_request(
    follow: Follow, proxy: Proxy, client: Client, conversation: Conversation
) -> None:
    def write() -> None:
        # The time of an attempt is shorter than this.
        time.sleep(1.3)
        with reply:
            reply.write("It is raining ☂.")
        written.append(time.monotonic())

    reply = client.stream_reply(conversation.id, id=new_id())
    client.add_message(conversation.id, "assistant", "", id=reply.id, status="in_progress")
    written: list[float] = []
    writer = threading.Thread(target=write)
    writer.start()
    pieces, message = follow(proxy.url, conversation.id, reply.id)
    ended = time.monotonic()
    writer.join()
    assert "".join(pieces) == "It is raining ☂."
    assert message.status == "complete"
    assert ended - written[0] < 1.0
    # The beginning, which is there, and what came at the end: together, or one after the other.
    assert [seen.path.split("?")[1] for seen in proxy.seen][:2] == ["wait=20", "wait=20"]
    assert len(proxy.seen) <= 3


def test_a_reader_reads_what_is_there(follow: Follow, server_url: str, client: Client) -> None:
    user = f"user-{new_id()}"
    chat = client.get_or_create_conversation(user).id
    whole = client.add_message(chat, "assistant", "☂ rain")
    assert follow(server_url, chat, whole.id)[0] == ["☂ rain"]
    assert follow(server_url, chat, whole.id, skip=2)[0] == ["rain"]
    assert follow(server_url, chat, whole.id, skip=6)[0] == []
    parts = client.add_message(chat, "assistant", [{"type": "text", "text": "rain"}])
    pieces, message = follow(server_url, chat, parts.id)
    assert (pieces, message.content) == ([], [{"type": "text", "text": "rain"}])
    stopped = client.add_message(chat, "assistant", "It is", status="in_progress")
    client.cancel_reply(chat, stopped.id)
    pieces, message = follow(server_url, chat, stopped.id)
    assert (pieces, message.status) == (["It is"], "cancelled")
    lost = client.add_message(chat, "assistant", "It is", status="in_progress")
    # The same, a year ago: its writer is lost.
    lines = [re.sub(rb'"2\d\d\d-', b'"2025-', line) for line in client.export_user(user)]
    client.erase_user(user)
    client.import_user(user, lines)
    pieces, message = follow(server_url, chat, lost.id)
    assert (pieces, message.status) == (["It is"], "incomplete")
    with pytest.raises(errors.NotFound):
        follow(server_url, chat, new_id())


def test_a_reader_is_told_what_cannot_be_right(client: Client, conversation: Conversation) -> None:
    for wrong in ({"interval": -1}, {"interval": float("nan")}, {"skip": -1}):
        with pytest.raises(ValueError, match="must be"):
            client.follow_reply(conversation.id, new_id(), **wrong)
    for odd in ({"interval": "1"}, {"skip": "1"}, {"skip": True}):
        with pytest.raises(TypeError, match="must be"):
            client.follow_reply(conversation.id, new_id(), **odd)
    with pytest.raises(RuntimeError, match="before it is read"):
        _ = client.follow_reply(conversation.id, new_id()).message


def test_readers_see_what_was_written(proxy: Proxy, client: Client, server_url: str) -> None:
    """Random replies and readers at the same time, who come at any moment, over a bad network: each one reads what was written."""
    seed = random.randrange(1 << 32)  # noqa: S311
    chance = random.Random(seed)  # noqa: S311

    proxy.faults = BadNetwork(chance)
    conversation = client.get_or_create_conversation("ada", new=True).id
    retry = Retry(base=0.001, attempts=30)
    written: dict[Any, tuple[str, str]] = {}
    read: list[tuple[Any, int, str, str]] = []

    async def write(writer: AsyncClient, id_: Any) -> None:
        ending = chance.choice(["complete", "cancelled", "deleted"])
        said = ""
        with suppress(errors.NotFound):
            async with writer.stream_reply(
                conversation, id=id_, flush_seconds=chance.choice([0.0, 0.05]), flush_characters=chance.choice([1, 8])
            ) as reply:
                for _ in range(chance.randrange(1, 12)):
                    await asyncio.sleep(chance.choice([0, 0, 0.01, 0.1]))
                    piece = "".join(chance.choice("a☂\U0001f327 \n") for _ in range(chance.randrange(1, 9)))
                    said += piece
                    await reply.write(piece)
                if ending == "cancelled":
                    await reply.stop()
                if ending == "deleted":
                    await reply.flush()
                    await asyncio.sleep(0.1)
                    await writer.delete_message(conversation, id_)
        written[id_] = (said, ending)

    async def read_one(reader: AsyncClient, id_: Any) -> None:
        await asyncio.sleep(chance.random())
        skip = chance.choice([0, 0, 3, 200])
        following = reader.follow_reply(conversation, id_, skip=skip, interval=chance.choice([0.0, 0.05]))
        text = ""
        try:
            async for piece in following:
                assert piece, seed
                text += piece
            state = following.message.status
        except errors.NotFound:
            # It may not have begun.
            state = "deleted" if text or id_ in written else "unknown"
        read.append((id_, skip, text, state))

    async def main() -> None:
        async with AsyncClient(server_url) as writer, AsyncClient(proxy.url, retry=retry) as reader:
            ids = [new_id() for _ in range(8)]
            readers = [read_one(reader, id_) for id_ in ids for _ in range(4)]
            await asyncio.gather(*(write(writer, id_) for id_ in ids), *readers)

    asyncio.run(asyncio.wait_for(main(), 120))
    assert len(read) == 32
    for id_, skip, text, state in read:
        said, ending = written[id_]
        if state == "unknown":
            continue
        assert state == ending, seed
        if ending == "deleted":
            assert said[skip:].startswith(text), seed
        else:
            assert text == said[skip:], seed
