"""What happens when requests or answers are lost, through a real proxy between the client and the real API."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from conftest import Connect
from scrollback import Client, Conversation, NewMessage, Retry, errors, new_id
from tests.proxy import CUT_ANSWER, LOSE_ANSWER, LOSE_REQUEST, SILENCE, Fault, Proxy

# As the client does it, and with short waits.
FAST = Retry(base=0.01)

FAULTS: list[str | Fault] = [
    LOSE_REQUEST,
    LOSE_ANSWER,
    CUT_ANSWER,
    *(Fault(status) for status in (429, 500, 502, 503, 504)),
    *(Fault(status, afterwards=True) for status in (500, 502, 503, 504)),
]


@pytest.fixture
def faulty(connect: Connect, proxy: Proxy) -> Any:
    """A client of either kind, behind the proxy."""
    return connect(proxy.url, retry=FAST)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_retried_append_is_stored_once(
    faulty: Any, proxy: Proxy, conversation: Conversation, fault: str | Fault
) -> None:
    proxy.faults = [fault, fault]
    message = faulty.add_message(conversation.id, "user", "Hello")
    assert len(proxy.seen) == 3
    # Each attempt sends the same bytes, and so the same id.
    assert len({seen.body for seen in proxy.seen}) == 1
    assert json.loads(proxy.seen[0].body)["id"] == str(message.id)
    proxy.faults = [fault]
    batch = faulty.add_messages(conversation.id, [{"role": "assistant", "content": "Hi"}, NewMessage("user", "Bye")])
    assert [stored.position for stored in faulty.get_chat_history(conversation.id)] == [1, 2, 3]
    assert [stored.position for stored in batch] == [2, 3]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_retried_turn_begins_once(faulty: Any, proxy: Proxy, client: Client, fault: str | Fault) -> None:
    proxy.faults = [fault, fault]
    user = f"user-{new_id()}"
    turn = faulty.turn(new_id(), "user", "Hello", reply_id=True, conversation={"user_id": user})
    assert len(proxy.seen) == 3
    assert len({seen.body for seen in proxy.seen}) == 1
    sent = json.loads(proxy.seen[0].body)
    assert (sent["id"], sent["reply_id"]) == (str(turn.messages[0].id), str(turn.reply.id))
    (conversation,) = client.get_user_conversations(user)
    assert [(each.id, each.status) for each in client.get_chat_history(conversation.id)] == [
        (turn.messages[0].id, "complete"),
        (turn.reply.id, "in_progress"),
    ]
    assert [each.content for each in turn.context.messages] == ["Hello"]


@pytest.mark.parametrize("fault", [LOSE_REQUEST, LOSE_ANSWER], ids=str)
def test_every_write_is_done_once(faulty: Any, proxy: Proxy, fault: str) -> None:
    user = f"user-{new_id()}"

    def lose() -> None:
        proxy.faults = [fault]

    lose()
    first = faulty.get_or_create_conversation(user)
    lose()
    chat = faulty.get_or_create_conversation(user, new=True)
    assert {each.id for each in faulty.get_user_conversations(user)} == {first.id, chat.id}
    lose()
    assert faulty.update_conversation(chat.id, metadata={"n": 1}).metadata == {"n": 1}
    message = faulty.add_message(chat.id, "user", "Hello")
    lose()
    assert faulty.add_message(chat.id, "user", "Again", if_match=message.version).position == 2
    lose()
    assert faulty.update_message(chat.id, message.id, content="Hello!").content == "Hello!"
    lose()
    written = faulty.add_message(chat.id, "assistant", "H", status="in_progress", from_=2)
    lose()
    ended = faulty.update_message(chat.id, written.id, append="i", at=1, status="complete")
    assert (ended.content, ended.status) == ("Hi", "complete")
    lose()
    turn = faulty.turn(chat.id, "user", "Hello again", reply_id=True, from_=written.position + 1)
    assert turn.replayed == (fault == LOSE_ANSWER)
    lose()
    version = faulty.add_message(chat.id, "user", "Hello?", parent_id=written.id)
    lose()
    assert faulty.select_line(chat.id, turn.messages[0].id, newest=True).kept_count == 1
    assert faulty.get_message(chat.id, version.id, include="versions").versions == (turn.messages[0].id, version.id)
    assert [each.content for each in faulty.get_chat_history(chat.id)] == ["Hello!", "Hi", "Hello again", ""]
    lose()
    faulty.rewind_conversation(chat.id, from_=turn.messages[0].position)
    lose()
    assert faulty.delete_message(chat.id, written.id) is None
    assert [each.content for each in faulty.get_chat_history(chat.id)] == ["Hello!"]
    lose()
    assert faulty.delete_conversation(first.id) is None
    lose()
    faulty.erase_user(user)
    assert faulty.get_user_conversations(user).all() == []


def test_reads_are_sent_again(faulty: Any, proxy: Proxy, conversation: Conversation) -> None:
    message = faulty.add_message(conversation.id, "user", "Hello")
    faulty.summarize_conversation(conversation.id, through=1, content="A greeting.")
    calls: list[Callable[[], Any]] = [
        lambda: faulty.get_conversation(conversation.id),
        lambda: faulty.get_message(conversation.id, message.id),
        lambda: faulty.get_chat_history(conversation.id).all(),
        lambda: faulty.tree(conversation.id).all(),
        lambda: faulty.get_context(conversation.id),
        lambda: faulty.get_summary(conversation.id),
        lambda: faulty.get_user_conversations("ada", limit=1).all(),
        lambda: faulty.search_messages("ada", "nothing").all(),
    ]
    for call in calls:
        proxy.faults = [LOSE_ANSWER, Fault(503), CUT_ANSWER]
        call()


def test_a_rewind_without_a_version_is_done_once(faulty: Any, proxy: Proxy, conversation: Conversation) -> None:
    faulty.add_messages(conversation.id, [NewMessage("user", "One"), NewMessage("user", "Two")])
    for fault in (LOSE_ANSWER, Fault(429)):
        proxy.faults = [fault]
        proxy.seen.clear()
        assert faulty.rewind_conversation(conversation.id, from_=2).deleted == 1
        assert len(proxy.seen) == 2
        faulty.add_message(conversation.id, "user", "Two")


def test_each_other_write_has_a_key_for_all_its_attempts(faulty: Any, proxy: Proxy, conversation: Conversation) -> None:
    message = faulty.add_message(conversation.id, "user", "One")
    other = faulty.add_message(conversation.id, "user", "Two")
    version = other.version
    keys = set()

    def last_key() -> str:
        first, second = (seen.headers["idempotency-key"] for seen in proxy.seen)
        assert first == second
        return first

    calls: list[Callable[[], Any]] = [
        lambda: faulty.update_conversation(conversation.id, title="A", if_match=version),
        lambda: faulty.update_message(conversation.id, message.id, content="1", if_match=version),
        lambda: faulty.summarize_conversation(conversation.id, through=1, content="1", if_match=version),
        lambda: faulty.delete_summary(conversation.id, if_match=version),
        lambda: faulty.select_line(conversation.id, message.id, if_match=version),
        lambda: faulty.delete_message(conversation.id, other.id, if_match=version),
        lambda: faulty.rewind_conversation(conversation.id, from_=1, if_match=version),
        lambda: faulty.delete_conversation(conversation.id, if_match=version),
    ]
    for call in calls:
        proxy.faults = [LOSE_ANSWER]
        proxy.seen.clear()
        # A retry is no 412 for the success of the attempt before it.
        call()
        keys.add(last_key())
        if call is not calls[-1]:
            version = faulty.get_conversation(conversation.id).version
    assert len(keys) == len(calls)
    proxy.seen.clear()
    with pytest.raises(errors.NotFound):
        faulty.get_conversation(conversation.id)
    assert "idempotency-key" not in proxy.seen[0].headers


def test_a_conditional_write_whose_answer_was_lost_succeeds(
    faulty: Any, proxy: Proxy, conversation: Conversation
) -> None:
    message = faulty.add_message(conversation.id, "user", "One")
    proxy.faults = [LOSE_ANSWER]
    rewound = faulty.rewind_conversation(conversation.id, from_=1, if_match=message.version)
    assert (rewound.deleted, rewound.version) == (1, '"3"')
    assert faulty.get_conversation(conversation.id).message_count == 0


def test_a_conversation_that_never_existed_is_not_found(faulty: Any, proxy: Proxy) -> None:
    # A 503 before the request reached the API does not prove that it was not done, so a 404 then counts as done.
    with pytest.raises(errors.NotFound):
        faulty.delete_conversation(new_id())
    proxy.faults = [Fault(429)]
    with pytest.raises(errors.NotFound):
        faulty.delete_conversation(new_id())


@pytest.mark.parametrize("status", [400, 401, 403, 409, 412, 413, 415, 418, 501])
def test_other_errors_are_final(faulty: Any, proxy: Proxy, status: int) -> None:
    proxy.faults = [Fault(status, headers={"apigw-requestid": "gateway's"})]
    with pytest.raises(errors.ScrollbackError) as caught:
        faulty.get_conversation(new_id())
    error = caught.value
    assert (error.status, error.code, error.detail) == (status, None, "out of order")
    assert error.request_id == "gateway's"
    assert type(error) is errors.class_for(status, None)
    assert len(proxy.seen) == 1


def test_a_404_that_is_no_problem_document_is_not_an_empty_history(faulty: Any, proxy: Proxy) -> None:
    # Another server, or a gateway that knows no such route.
    calls: list[Callable[[], Any]] = [
        lambda: faulty.get_chat_history(new_id()).all(),
        lambda: faulty.delete_conversation(new_id()),
    ]
    for call in calls:
        proxy.faults = [Fault(503), Fault(404)]
        with pytest.raises(errors.InvalidResponse, match="check the base URL") as caught:
            call()
        assert (caught.value.status, caught.value.code) == (404, None)


def test_a_lost_connection_names_the_place_and_the_cause(connect: Connect) -> None:
    with socket.socket() as reserved:
        # Nobody listens there.
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/base"
        with pytest.raises(errors.NoResponse) as caught:
            connect(url, retry=Retry(attempts=2, base=0)).get_user_conversations("ada").all()
    expected = f"no response from {url} after 2 attempts: ConnectError: Connection refused; is `cargo dev` running?"
    assert str(caught.value) == expected
    with pytest.raises(errors.NoResponse) as elsewhere:
        connect("http://scrollback.invalid", retry=Retry(attempts=1)).get_conversation(new_id())
    assert str(elsewhere.value).startswith("no response from http://scrollback.invalid after 1 attempt: ConnectError: ")
    assert "cargo dev" not in str(elsewhere.value)


def test_the_attempts_have_a_limit(connect: Connect, proxy: Proxy, conversation: Conversation) -> None:
    client = connect(proxy.url, retry=Retry(attempts=3, base=0.01))
    proxy.faults = [Fault(503)] * 9
    with pytest.raises(errors.ServerError) as caught:
        client.add_message(conversation.id, "user", "Hello")
    assert (caught.value.status, caught.value.maybe_done, len(proxy.seen)) == (503, True, 3)
    proxy.seen.clear()
    proxy.faults = [LOSE_ANSWER] * 9
    with pytest.raises(errors.NoResponse) as lost:
        client.get_conversation(conversation.id)
    assert (lost.value.status, lost.value.maybe_done, len(proxy.seen)) == (None, False, 3)
    assert lost.value.__cause__ is not None


def test_nobody_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(errors.NoResponse) as caught:
        connect(f"http://127.0.0.1:{port}", retry=Retry(attempts=2, base=0.01)).add_message(new_id(), "user", "Hello")
    assert not caught.value.maybe_done


def test_a_silent_server_costs_the_timeout_and_the_retry_finds_the_message(
    connect: Connect, proxy: Proxy, conversation: Conversation
) -> None:
    client = connect(proxy.url, timeout=0.5, retry=FAST)
    proxy.faults = [SILENCE]
    began = time.monotonic()
    client.add_message(conversation.id, "user", "Hello")
    assert 0.5 <= time.monotonic() - began < 5
    assert len(client.get_chat_history(conversation.id).all()) == 1


def test_all_attempts_together_have_a_deadline(connect: Connect, proxy: Proxy) -> None:
    client = connect(proxy.url, timeout=30, retry=Retry(attempts=100, base=0.01, deadline=0.6))
    proxy.faults = [SILENCE] * 9
    began = time.monotonic()
    with pytest.raises(errors.NoResponse):
        client.get_conversation(new_id())
    assert 0.5 <= time.monotonic() - began < 5


def test_retry_after_is_waited_for(connect: Connect, proxy: Proxy, conversation: Conversation) -> None:
    client = connect(proxy.url, retry=Retry(base=0.01, deadline=20))
    date = datetime.now(timezone.utc) + timedelta(seconds=3)
    for value, least in (("1", 1.0), (format_datetime(date, usegmt=True), 0.5), ("soon", 0.0), ("-1", 0.0)):
        proxy.faults = [Fault(429, headers={"retry-after": value})]
        began = time.monotonic()
        client.get_conversation(conversation.id)
        assert least <= time.monotonic() - began < least + 4, value
    # Waiting beyond the deadline is of no use, so the error comes at once.
    proxy.faults = [Fault(503, headers={"retry-after": "3600"})]
    began = time.monotonic()
    with pytest.raises(errors.ServerError):
        client.get_conversation(conversation.id)
    assert time.monotonic() - began < 5


def test_a_request_that_breaks_off_does_not_reach_the_server(proxy: Proxy) -> None:
    address = urlsplit(proxy.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(b"POST /conversations HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    assert proxy.seen == []


def test_waits_grow_are_random_and_have_a_limit() -> None:
    retry = Retry(base=0.1, cap=2)
    for failures, most in ((1, 0.1), (2, 0.2), (5, 1.6), (6, 2), (5000, 2)):
        waits = [retry.wait(failures) for _ in range(2000)]
        assert 0 <= min(waits) < most * 0.05
        assert most * 0.95 < max(waits) <= most
