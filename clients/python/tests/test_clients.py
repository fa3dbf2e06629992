"""What the clients are beside their endpoints: event loops, threads, tokens, and what they never show."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import scrollback
from conftest import Connect, token_of
from scrollback import AsyncClient, Client, Conversation, Imported, NewMessage, Retry, Session, errors, new_id
from tests.proxy import LOSE_ANSWER, Fault, Proxy

SECRET = "umbrella-4711"  # noqa: S105


def test_one_asynchronous_client_serves_several_event_loops(server_url: str, conversation: Conversation) -> None:
    client = AsyncClient(server_url)

    async def add_many(n: int) -> None:
        await asyncio.gather(*(client.add_message(conversation.id, "user", f"{n}.{m}") for m in range(5)))

    for n in range(3):
        asyncio.run(add_many(n))
    threads = [threading.Thread(target=lambda n=n: asyncio.run(add_many(n))) for n in range(3, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asyncio.run(client.get_chat_history(conversation.id).all())) == 30
    # Each loop has closed its connections. One left open is a ResourceWarning, which fails the test.
    assert client._loops == {}
    gc.collect()


def test_an_event_loop_never_gets_the_connections_of_another_one(proxy: Proxy, conversation: Conversation) -> None:
    client = AsyncClient(proxy.url, timeout=2, retry=Retry(attempts=1))
    paused = asyncio.new_event_loop()
    paused.run_until_complete(client.get_conversation(conversation.id))
    asyncio.run(client.get_conversation(conversation.id))
    paused.run_until_complete(client.get_conversation(conversation.id))
    first, second, third = (seen.peer for seen in proxy.seen)
    assert first == third != second
    paused.run_until_complete(paused.shutdown_asyncgens())
    paused.close()
    assert client._loops == {}


def test_an_event_loop_that_ended_without_its_clean_up_is_forgotten(server_url: str) -> None:
    client = AsyncClient(server_url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.get_user_conversations("ada").first_page())
    connections = client._loops[loop]
    loop.run_until_complete(connections.http.aclose())
    loop.close()
    asyncio.run(client.get_user_conversations("ada").first_page())
    assert client._loops == {}


def test_connections_are_used_again(connect: Connect, proxy: Proxy, conversation: Conversation) -> None:
    with Client(proxy.url) as client:
        for _ in range(3):
            client.get_conversation(conversation.id)

    async def main() -> None:
        async with AsyncClient(proxy.url) as client:
            for _ in range(3):
                await client.get_conversation(conversation.id)

    asyncio.run(main())
    assert len({seen.peer for seen in proxy.seen}) == 2
    assert {seen.headers["user-agent"] for seen in proxy.seen} == {"scrollback-client"}


def test_a_closed_client_says_so(server_url: str) -> None:
    client = Client(server_url)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.get_or_create_conversation("ada")

    async def main() -> None:
        client = AsyncClient(server_url)
        await client.get_or_create_conversation("ada")
        await client.aclose()
        await client.aclose()
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.get_or_create_conversation("ada")

    asyncio.run(main())


def test_a_cancelled_call_ends_and_the_client_goes_on(proxy: Proxy, conversation: Conversation) -> None:
    async def main() -> None:
        async with AsyncClient(proxy.url) as client:
            proxy.faults = [Fault(503, headers={"retry-after": "30"})]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.get_conversation(conversation.id), 0.3)
            assert (await client.get_conversation(conversation.id)).id == conversation.id

    asyncio.run(main())


def test_an_asynchronous_export_is_imported_while_it_is_read(server_url: str, tmp_path: Path) -> None:
    user = f"piped {new_id()}"

    async def main() -> None:
        async with AsyncClient(server_url) as source, AsyncClient(server_url) as target:
            chat = await source.get_or_create_conversation(user)
            await source.add_message(chat.id, "user", "Hello")
            skipped = Imported(conversations=0, messages=0, skipped=2)
            assert await target.import_user(user, source.export_user(user)) == skipped
            with pytest.raises(TypeError, match="iterable of lines"):
                await target.import_user(user, "{}")
            with pytest.raises(errors.InvalidBody):
                await target.import_user(user, iter(["x"]))

    asyncio.run(main())
    # Files of bytes and of text hold the same lines.
    path = tmp_path / "export.ndjson"
    with Client(server_url) as client:
        with path.open("wb") as file:
            file.writelines(client.export_user(user))
        client.erase_user(user)
        with path.open("rb") as lines:
            assert client.import_user(user, lines) == Imported(conversations=1, messages=1, skipped=0)
        with path.open(encoding="utf-8") as texts:
            assert client.import_user(user, texts).skipped == 2


def test_one_client_serves_several_threads(client: Client, conversation: Conversation) -> None:
    threads = [
        threading.Thread(target=client.add_message, args=(conversation.id, "user", f"message {n}")) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get_conversation(conversation.id).message_count == 8


def test_neither_a_repr_nor_a_log_nor_an_error_shows_what_was_said(
    connect: Connect, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # httpcore logs the headers of responses at this level, and a link to the next page holds the query.
    logging.getLogger("httpcore").setLevel(logging.INFO)
    client = connect(proxy.url, SECRET, retry=Retry(attempts=2, base=0.01))
    user = f"{SECRET} user"
    chat = client.get_or_create_conversation(user, title=SECRET, metadata={SECRET: SECRET})
    calls = [{"id": SECRET}]
    new = NewMessage("user", SECRET, tool_calls=calls, tool_call_id=SECRET, name=SECRET, metadata={SECRET: SECRET})
    shown: list[Any] = [chat, new, client.get_conversation(chat.id)]
    proxy.faults = [LOSE_ANSWER]
    shown += [client.add_messages(chat.id, [new]), client.add_message(chat.id, "user", SECRET)]
    shown += [client.get_chat_history(chat.id), client.get_chat_history(chat.id, page_size=1).first_page()]
    hits = client.search_messages(user, SECRET, page_size=1)
    shown += [hits, hits.first_page(), *hits]
    lines = client.export_user(user)
    shown += [lines, lines.first_page(), *client.get_user_conversations(user, include="last_message")]
    shown += [client.get_context(chat.id), client.get_context(chat.id, format="openai")]
    with pytest.raises(errors.Conflict) as conflict:
        client.add_message(chat.id, "user", f"{SECRET} again", id=new.id)
    with pytest.raises(errors.Conflict) as imported:
        client.import_user(f"{user} again", lines.all())
    proxy.faults = [Fault(503)] * 2
    with pytest.raises(errors.ServerError) as failed:
        client.search_messages(user, SECRET).all()
    proxy.faults = [LOSE_ANSWER] * 2
    with pytest.raises(errors.NoResponse) as lost:
        client.add_message(chat.id, "user", SECRET)
    shown += [error.value for error in (conflict, imported, failed, lost)]
    shown += [str(error.value) for error in (conflict, imported, failed, lost)]
    shown += [str(lost.value.__cause__), AsyncClient("http://a", SECRET), Client("http://a", SECRET)]
    shown[-1].close()
    for each in shown:
        assert SECRET not in repr(each), type(each)
    lines = [f"{record.name} {record.getMessage()}" for record in caplog.records]
    assert any(line.startswith("httpx HTTP Request: POST http://127.0.0.1:") for line in lines)
    assert any(line.startswith("scrollback add-message: attempt 1 ended with") for line in lines)
    assert [line for line in lines if SECRET in line] == []


@pytest.mark.parametrize("token", ["a\nb", "ä", " a", f"{SECRET}\r\n"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(connect: Connect, token: str) -> None:
    with pytest.raises(ValueError, match="the token must be") as caught:
        connect("http://127.0.0.1:9", token).get_conversation("x")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("timeout", value) for value in (0, -1, None, "30", True, float("nan"), float("inf"))),
        *(("retry", value) for value in (3, {"attempts": 3})),
        *(("token", value) for value in (42, b"token")),
        ("base_url", None),
    ],
)
def test_an_argument_that_cannot_be_right_is_refused_at_once(kind: type, name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
        kind(**{"base_url": "http://127.0.0.1:9", name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("attempts", value) for value in (0, -1, 2.5, None, True)),
        *((name, value) for name in ("base", "cap") for value in (-0.1, "1", float("nan"))),
        *(("deadline", value) for value in (0, None, float("inf"))),
    ],
)
def test_a_retry_that_cannot_be_right_is_refused_at_once(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{name} must be "):
        Retry(**{name: value})


def test_a_token_function_is_asked_for_each_attempt(connect: Connect, proxy: Proxy, conversation: Conversation) -> None:
    tokens = iter("abcd")
    client = connect(proxy.url, lambda: next(tokens), retry=Retry(base=0.01))
    proxy.faults = [Fault(503), Fault(503)]
    client.get_conversation(conversation.id)
    assert [seen.headers["authorization"] for seen in proxy.seen] == ["Bearer a", "Bearer b", "Bearer c"]


def test_a_token_says_who_calls(connect: Connect, guarded_url: str) -> None:
    token = token_of("ada")

    async def fetch() -> str:
        await asyncio.sleep(0)
        return token

    client = connect(guarded_url, token)
    chat = client.get_or_create_conversation(new=True)
    assert chat.user_id == "ada"
    with pytest.raises(errors.Forbidden) as forbidden:
        client.get_user_conversations("bob").all()
    assert forbidden.value.code == "forbidden"
    with pytest.raises(errors.Unauthenticated) as unauthenticated:
        connect(guarded_url).get_conversation(chat.id)
    assert unauthenticated.value.status == 401
    with pytest.raises(errors.Unauthenticated):
        connect(guarded_url, "not-a-token").get_conversation(chat.id)
    bob = connect(guarded_url, token_of("bob"))
    with pytest.raises(errors.NotFound):
        bob.get_conversation(chat.id)
    with pytest.raises(errors.Conflict):
        bob.get_or_create_conversation(id=chat.id)
    service = connect(guarded_url, lambda: token_of("back-end", "--service"))
    assert service.get_user_conversations("ada", limit=1).all()[0].id == chat.id
    lines = client.export_user("ada").all()
    with pytest.raises(errors.Forbidden):
        client.import_user("ada", lines)
    assert service.import_user("ada", lines).skipped == len(lines)
    guest = service.get_or_create_conversation("guest", new=True)
    with pytest.raises(errors.Forbidden):
        client.transfer_user("guest", "ada")
    assert service.transfer_user("guest", "ada").conversations == 1
    assert client.get_conversation(guest.id).user_id == "ada"
    assert client.fork_conversation(guest.id).forked_from.conversation_id == guest.id

    async def ask() -> Conversation:
        async with AsyncClient(guarded_url, fetch) as client:
            return await client.get_conversation(chat.id)

    assert asyncio.run(ask()) == chat


def test_an_asynchronous_token_function_needs_the_asynchronous_client() -> None:
    async def fetch() -> str:
        return "token"

    with Client("http://127.0.0.1:9", fetch) as client, pytest.raises(TypeError, match="AsyncClient"):  # type: ignore[arg-type]
        client.get_conversation("x")


def test_the_first_interface_returns_lists_and_takes_a_dict_of_tool_calls(server_url: str) -> None:
    with Session(server_url) as session:
        chat = scrollback.get_or_create_conversation(session, "seed")
        calls = {"name": "weather"}
        added = scrollback.add_message(session, chat.id, "assistant", "Wait.", calls)
        history = scrollback.get_chat_history(session, conversation_id=chat.id)
        assert isinstance(history, list)
        assert (history[-1].tool_calls, history[-1].id) == (calls, added.id)
        assert scrollback.get_user_conversations(session, user_id="seed")[0].id == chat.id
