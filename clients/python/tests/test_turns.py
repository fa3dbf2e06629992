"""How many requests a turn takes: the table of the README. The adapters' rows are in the adapters' own tests."""

from __future__ import annotations

from scrollback import Client, new_id
from tests.proxy import Proxy
from tests.turns import count, requests_of


def test_a_turn_with_a_whole_answer_is_two_requests(proxy: Proxy) -> None:
    before, now = requests_of("`Client`, in a new conversation, with a whole answer")
    user, chat = f"user-{new_id()}", new_id()
    with Client(proxy.url) as client:
        client.get_or_create_conversation(user, id=chat)
        client.add_message(chat, "user", "Hello")
        context = client.get_context(chat, format="openai")
        client.add_message(chat, "assistant", "Hi")
        assert count(proxy) == before == 4
        other = new_id()
        turn = client.turn(other, "user", "Hello", conversation={"user_id": user}, context={"format": "openai"})
        client.add_message(other, "assistant", "Hi")
        assert count(proxy) == now == 2
    assert turn.context.messages == context.messages


def test_a_turn_with_a_reply_that_is_streamed_is_two_requests(proxy: Proxy) -> None:
    before, now = requests_of("`Client`, in a new conversation, with `stream_reply`")
    user, chat = f"user-{new_id()}", new_id()
    with Client(proxy.url) as client:
        client.get_or_create_conversation(user, id=chat)
        client.add_message(chat, "user", "Hello")
        with client.stream_reply(chat) as reply:
            client.get_context(chat)
            reply.write("Hi")
        assert count(proxy) == before == 5
        turn = client.turn(new_id(), "user", "Hello", conversation={"user_id": user}, reply_id=True)
        with client.stream_reply(turn) as reply:
            reply.write("Hi")
        assert count(proxy) == now == 2
