"""Every endpoint, through both clients, against the real API."""

from __future__ import annotations

import inspect
import json
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, get_type_hints

import pytest
from ruamel.yaml import YAML
from typing_extensions import assert_type

import scrollback
from conftest import PROJECT, Connect
from scrollback import (
    Client,
    Context,
    ContextFields,
    Conversation,
    Imported,
    Message,
    NewMessage,
    Page,
    Pages,
    Retry,
    Transferred,
    Turn,
    TurnConversation,
    errors,
    new_id,
)
from scrollback._operations import Import
from tests.proxy import LOSE_ANSWER, Fault, Proxy

# Operations that openapi.yaml describes and the clients lack. An entry needs a reason.
KNOWN_MISSING: set[str] = set()

# What a method calls a field, where Python has another use for its name. A cursor is followed by iterating.
RENAMED = {"from": "from_", "If-Match": "if_match", "If-None-Match": "if_none_match", "metadata.KEY": "metadata"}
# The methods that are named otherwise than their operations.
METHODS = {"begin-turn": "turn"}
# The client makes the keys of its requests.
LEFT_OUT = {"cursor", "messages", "Idempotency-Key"}

OPENAPI: dict[str, Any] = YAML(typ="safe", pure=True).load(PROJECT / "openapi.yaml")


def resolve(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found = OPENAPI
        for key in value["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        value = found
    return value


def operations() -> dict[str, set[str]]:
    """The operations of openapi.yaml, each with its fields."""
    found = {}
    for path in OPENAPI["paths"].values():
        for method, operation in path.items():
            if method not in ("get", "put", "post", "patch", "delete"):
                continue
            parameters = [*path.get("parameters", []), *operation.get("parameters", [])]
            fields = {resolve(parameter)["name"] for parameter in parameters}
            for media in operation.get("requestBody", {}).get("content", {}).values():
                schema = resolve(media["schema"])
                for choice in [schema, *map(resolve, schema.get("oneOf", []))]:
                    fields |= set(choice.get("properties", {}))
            found[operation["operationId"]] = {RENAMED.get(field, field) for field in fields - LEFT_OUT}
    return found


@pytest.mark.parametrize("kind", [scrollback.Client, scrollback.AsyncClient])
def test_each_operation_of_the_description_is_a_method_with_all_its_fields(kind: type) -> None:
    described = operations()
    assert len(described) >= 12
    names = {name: METHODS.get(name, name.replace("-", "_")) for name in described}
    methods = {name: getattr(kind, method) for name, method in names.items() if hasattr(kind, method)}
    assert set(described) - set(methods) == KNOWN_MISSING
    for name, method in methods.items():
        assert described[name] <= set(inspect.signature(method).parameters), name
        # The examples run: see the fixture `examples`.
        assert ">>>" in method.__doc__, name


@pytest.mark.parametrize("kind", [ContextFields, TurnConversation])
def test_the_objects_of_a_turn_have_all_fields_of_the_description(kind: type) -> None:
    schema = OPENAPI["components"]["schemas"][kind.__name__]
    assert set(get_type_hints(kind)) == set(schema["properties"])


def test_each_code_of_the_description_has_an_exception() -> None:
    for code in OPENAPI["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]:
        name = "".join(word.capitalize() for word in code.split("_"))
        assert errors.class_for(418, code) is getattr(scrollback, name)


def test_a_conversation_from_its_creation_to_its_end(either: Any) -> None:
    user = f"user-{new_id()}"
    created = either.get_or_create_conversation(user, title="Rain", metadata={"model": "gpt-5"})
    assert (created.user_id, created.title, created.metadata) == (user, "Rain", {"model": "gpt-5"})
    assert (created.message_count, created.version, created.extra) == (0, '"1"', {})
    assert abs(created.created_at - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert either.get_or_create_conversation(user) == created
    other = either.get_or_create_conversation(user, new=True)
    assert other.id != created.id
    mine = new_id()
    assert either.get_or_create_conversation(user, id=mine).id == mine
    assert either.get_or_create_conversation(user, id=str(mine)).id == mine

    found = either.get_conversation(created.id)
    assert found == created
    assert found.version == '"1"'
    with pytest.raises(errors.NotModified):
        either.get_conversation(created.id, if_none_match='"1"')

    changed = either.update_conversation(
        created.id, title=None, metadata={"model": None, "tags": ["a"]}, if_match='"1"'
    )
    assert (changed.title, changed.metadata, changed.version) == (None, {"tags": ["a"]}, '"2"')
    assert either.update_conversation(created.id).metadata == {"tags": ["a"]}
    assert either.update_conversation(created.id, metadata=None).metadata == {}
    with pytest.raises(errors.PreconditionFailed) as caught:
        either.update_conversation(created.id, title="Snow", if_match='"1"')
    assert not caught.value.maybe_done

    assert {each.id for each in either.get_user_conversations(user)} == {created.id, other.id, mine}
    with pytest.raises(errors.PreconditionFailed):
        either.delete_conversation(created.id, if_match='"1"')
    assert either.delete_conversation(created.id) is None
    with pytest.raises(errors.NotFound) as gone:
        either.delete_conversation(created.id)
    assert (gone.value.status, gone.value.code) == (404, "not_found")
    assert uuid.UUID(gone.value.request_id)
    assert either.erase_user(user) == scrollback.Erased(conversations=2, messages=0)
    assert either.erase_user(user).conversations == 0
    assert either.get_user_conversations(user).all() == []


def test_a_context_is_counted_summarized_and_written_for_each_api(either: Any, conversation: Conversation) -> None:
    counted = either.add_message(conversation.id, "user", "Is it raining in Oslo?", token_count=7)
    assert counted.token_count == 7
    for text in ("No.", "Yes."):
        either.add_message(conversation.id, "assistant", text)
    question = either.add_message(conversation.id, "user", "Sure?", token_count=3)
    assert either.update_message(conversation.id, counted.id, token_count=8).token_count == 8
    whole = either.get_context(conversation.id)
    assert (whole.omitted, whole.summary, whole.estimated) == (0, None, True)

    summary = either.summarize_conversation(conversation.id, 3, "The user asks about rain.", token_count=5).summary
    assert summary.through == 3
    short = either.get_context(conversation.id, max_tokens=8, step=2, tool_results=1)
    assert [message.content for message in short.messages] == ["The user asks about rain.", question.content]
    assert (short.tokens, short.summary, short.omitted) == (8, {"through": 3}, 0)
    anthropic = either.get_context(conversation.id, max_tokens=8, format="anthropic")
    assert "rain" in str(anthropic.instructions)
    assert [message["role"] for message in anthropic.messages] == ["user"]
    gemini = either.get_context(conversation.id, max_tokens=8, format="gemini")
    assert gemini.messages[-1]["role"] in ("user", "model")
    assert either.get_context(conversation.id, max_tokens=8, format="converse").messages[-1]["content"][0]["text"]
    responses = either.get_context(conversation.id, max_tokens=8, format="responses")
    assert "Sure?" in str(responses.messages[-1])


def test_a_summary_is_read_with_its_text_and_deleted(either: Any, conversation: Conversation) -> None:
    either.add_messages(conversation.id, [NewMessage("user", "Is it raining?"), NewMessage("user", "And in Bergen?")])
    with pytest.raises(errors.NotFound):
        either.get_summary(conversation.id)
    first = either.summarize_conversation(conversation.id, 1, "Rain.")
    second = either.summarize_conversation(conversation.id, 2, "Rain, also in Bergen.", token_count=6)
    found = either.get_summary(conversation.id)
    assert (found.through, found.content, found.token_count) == (2, "Rain, also in Bergen.", 6)
    assert (found.created_at, found.version) == (second.summary.created_at, second.version)
    with pytest.raises(errors.NotModified):
        either.get_summary(conversation.id, if_none_match=found.version)
    with pytest.raises(errors.PreconditionFailed):
        either.delete_summary(conversation.id, if_match=first.version)
    assert either.delete_summary(conversation.id, if_match=found.version) is None
    older = either.get_summary(conversation.id)
    assert (older.content, older.token_count) == ("Rain.", None)
    either.delete_summary(conversation.id)
    with pytest.raises(errors.NotFound):
        either.delete_summary(conversation.id)
    assert either.get_conversation(conversation.id).summary is None


def test_a_turn_begins_with_what_the_user_said_and_has_the_context(either: Any) -> None:
    user, chat = f"user-{new_id()}", new_id()
    turn = either.turn(
        chat,
        messages=[{"role": "system", "content": "Be brief."}, NewMessage("user", "Is it raining?", metadata={"a": 1})],
        conversation={"user_id": user, "title": "Rain", "metadata": {"b": 2}, "expires_in": 3600},
        context={"format": "anthropic", "max_tokens": 8000},
        reply_id=True,
    )
    assert (turn.conversation.id, turn.conversation.user_id, turn.conversation.title) == (chat, user, "Rain")
    assert (turn.conversation.metadata, turn.conversation.message_count) == ({"b": 2}, 3)
    assert [(each.position, each.role, each.metadata) for each in turn.messages] == [
        (1, "system", {}),
        (2, "user", {"a": 1}),
    ]
    assert (turn.reply.position, turn.reply.role, turn.reply.content) == (3, "assistant", "")
    assert turn.reply.status == "in_progress"
    assert turn.context.instructions == [{"type": "text", "text": "Be brief."}]
    assert [each["role"] for each in turn.context.messages] == ["user"]
    versions = {turn.version, turn.context.version, turn.reply.version, turn.conversation.version}
    assert versions == {either.get_conversation(chat).version}
    assert (turn.replayed, turn.extra, turn.messages[0].extra) == (False, {}, {})
    assert "Be brief" not in repr(turn)
    # A whole answer is one request.
    ended = either.update_message(chat, turn.reply.id, content="Yes.", status="complete", token_count=2)
    assert (ended.content, ended.status, ended.token_count) == ("Yes.", "complete", 2)

    mine = new_id()
    for time in range(2):
        again = either.turn(chat, "user", "And now?", id=mine, name="ada", token_count=3)
        assert (again.replayed, again.reply, again.conversation) == (time == 1, None, None)
        assert (again.messages[0].name, again.messages[0].token_count) == ("ada", 3)
        assert again.context == either.get_context(chat)
    assert [each.content for each in again.context.messages] == ["Be brief.", "Is it raining?", "Yes.", "And now?"]
    instead = either.turn(chat, "user", "Still?", from_=again.messages[0].position, if_match=again.version)
    assert [each.content for each in instead.context.messages] == ["Be brief.", "Is it raining?", "Yes.", "Still?"]
    with pytest.raises(errors.PreconditionFailed):
        either.turn(chat, "user", "Hm?", if_match=again.version)
    with pytest.raises(errors.Conflict):
        either.turn(chat, "user", "Hm?", conversation={"user_id": "another"})
    with pytest.raises(errors.NotFound):
        either.turn(new_id(), "user", "Hm?")
    with pytest.raises(ValueError, match="role is a field of one message"):
        either.turn(chat, "user", messages=[])


def test_messages_come_back_as_they_went_in(either: Any, conversation: Conversation) -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]
    parts = [{"type": "text", "text": "Ist das ein Schirm? ☂ \U0001f327", "n": 12345678901234567890, "half": "\ud83c"}]
    asked = either.add_message(conversation.id, "user", parts, metadata={"ä": 1})
    assert (asked.position, asked.content, asked.metadata, asked.version) == (1, parts, {"ä": 1}, '"2"')
    assert asked.conversation_id == conversation.id
    called = NewMessage("assistant", tool_calls=calls, name="model")
    answer = {"role": "tool", "content": "rain", "tool_call_id": "call_1"}
    stored = either.add_messages(conversation.id, [called, answer], if_match=asked.version)
    assert [message.position for message in stored] == [2, 3]
    assert stored.version == '"3"'
    assert (stored[0].id, stored[0].content, stored[0].tool_calls, stored[0].name) == (called.id, None, calls, "model")
    assert (stored[1].content, stored[1].tool_call_id) == ("rain", "call_1")
    assert either.get_chat_history(conversation.id).all() == [asked, *stored]
    assert either.add_message(conversation.id, "assistant", tool_calls={"any": "object"}).tool_calls == {
        "any": "object"
    }

    edited = either.update_message(conversation.id, asked.id, content="Rain?", metadata=None)
    assert (edited.position, edited.content, edited.metadata) == (1, "Rain?", {})
    assert either.rewind_conversation(conversation.id, from_=2, if_match=edited.version).deleted == 3
    assert either.rewind_conversation(conversation.id).deleted == 1


def test_a_conversation_is_archived_pinned_and_expires(either: Any) -> None:
    user = f"user-{new_id()}"
    created = either.get_or_create_conversation(user, expires_in=3600)
    assert timedelta(minutes=59) < created.expires_at - created.created_at < timedelta(minutes=61)
    assert (created.last_message_at, created.archived_at, created.pinned_at, created.forked_from) == (None,) * 4
    changed = either.update_conversation(created.id, archived=True, pinned=True, expires_in=None)
    assert changed.expires_at is None
    assert changed.archived_at == changed.pinned_at == changed.updated_at
    assert either.get_or_create_conversation(user).id != created.id
    changed = either.update_conversation(created.id, archived=False, expires_in=60)
    assert (changed.archived_at, changed.pinned_at is None, changed.expires_at is None) == (None, False, False)
    assert either.update_conversation(created.id, pinned=False).pinned_at is None
    message = either.add_message(created.id, "user", "Hello")
    assert either.get_conversation(created.id).last_message_at == message.created_at


def test_a_reply_is_written_piece_by_piece(either: Any, conversation: Conversation) -> None:
    reply = either.add_message(conversation.id, "assistant", status="in_progress")
    assert (reply.content, reply.status) == ("", "in_progress")
    for _ in range(2):
        assert either.update_message(conversation.id, reply.id, append="Rain ☂", at=0).content == "Rain ☂"
    read = either.get_message(conversation.id, reply.id, skip=4)
    assert (read.content, read.status, read.position) == (" ☂", "in_progress", 1)
    with pytest.raises(errors.NotModified):
        either.get_message(conversation.id, reply.id, skip=6, if_none_match=read.version)
    with pytest.raises(errors.Conflict) as caught:
        either.update_message(conversation.id, reply.id, append=".", at=9)
    assert (caught.value.param, caught.value.length) == ("at", 6)
    ended = either.update_message(
        conversation.id, reply.id, append=".", at=6, status="complete", metadata={"a": 1}, token_count=3
    )
    assert (ended.content, ended.status, ended.metadata, ended.token_count) == ("Rain ☂.", "complete", {"a": 1}, 3)
    assert either.update_message(conversation.id, reply.id, metadata={"b": 2}).metadata == {"a": 1, "b": 2}


def test_a_reader_waits_for_what_is_new(connect: Any, proxy: Proxy, client: Client, conversation: Conversation) -> None:
    reply = client.add_message(conversation.id, "assistant", "Rain", status="in_progress")
    # The time of an attempt is shorter than the wait.
    either = connect(proxy.url, timeout=0.9)
    with pytest.raises(errors.NotModified):
        either.get_message(conversation.id, reply.id, wait=1, if_none_match=reply.version)
    assert len(proxy.seen) == 1
    threading.Timer(0.2, client.cancel_reply, (conversation.id, reply.id)).start()
    read = either.get_message(conversation.id, reply.id, skip=4, wait=20, if_none_match=reply.version)
    assert (read.content, read.status) == ("", "cancelled")
    assert len(proxy.seen) == 2


def test_a_message_is_rated(either: Any, conversation: Conversation) -> None:
    message = either.add_message(conversation.id, "assistant", "Rain")
    assert message.feedback is None
    feedback = {"rating": "down", "comment": "It snows"}
    assert either.update_message(conversation.id, message.id, feedback=feedback).feedback == feedback
    assert either.get_message(conversation.id, message.id).feedback == feedback
    assert either.update_message(conversation.id, message.id, feedback=None).feedback is None


def test_a_reply_is_cancelled(either: Any, conversation: Conversation) -> None:
    reply = either.add_message(conversation.id, "assistant", "Rain", status="in_progress")
    assert either.cancel_reply(conversation.id, reply.id).status == "cancelled"
    assert either.update_message(conversation.id, reply.id, status="cancelled").content == "Rain"
    with pytest.raises(errors.Cancelled):
        either.update_message(conversation.id, reply.id, append=".", at=4)


def test_a_message_is_deleted_and_replaced(either: Any, conversation: Conversation) -> None:
    either.add_messages(conversation.id, [NewMessage("user", "One"), NewMessage("assistant", "Two")])
    again = either.add_message(conversation.id, "assistant", "Two!", from_=2)
    batch = [NewMessage("assistant", "Two?"), NewMessage("user", "Three", status="complete")]
    for _ in range(2):
        stored = either.add_messages(conversation.id, batch, from_=again.position)
    assert [message.content for message in either.get_chat_history(conversation.id)] == ["One", "Two?", "Three"]
    assert stored[0].position > again.position
    with pytest.raises(errors.PreconditionFailed):
        either.delete_message(conversation.id, stored[1].id, if_match='"1"')
    assert either.delete_message(conversation.id, stored[1].id, if_match=stored.version) is None
    with pytest.raises(errors.NotFound):
        either.get_message(conversation.id, stored[1].id)
    assert [message.content for message in either.get_chat_history(conversation.id)] == ["One", "Two?"]


def test_another_answer_is_a_version_and_both_are_kept(either: Any, conversation: Conversation) -> None:
    question = either.add_message(conversation.id, "user", "Rain?")
    first = either.add_message(conversation.id, "assistant", "No.")
    mine = new_id()
    for _ in range(2):
        second = either.add_message(conversation.id, "assistant", "Yes.", parent_id=question.id, id=mine)
    assert contents(either, conversation) == ["Rain?", "Yes."]
    found = either.get_conversation(conversation.id)
    assert (found.message_count, found.kept_count) == (2, 1)

    history = either.get_chat_history(conversation.id, include="versions").all()
    assert [message.versions for message in history] == [(question.id,), (first.id, second.id)]
    assert history == either.get_chat_history(conversation.id).all()
    kept = either.get_message(conversation.id, first.id, include="versions")
    assert (kept.content, kept.versions) == ("No.", (first.id, second.id))
    assert either.get_message(conversation.id, first.id).versions is None
    with pytest.raises(errors.Conflict) as caught:
        either.add_message(conversation.id, "assistant", "Yes.", parent_id=first.id, id=mine)
    assert caught.value.param == "id"
    with pytest.raises(errors.NotFound):
        either.add_message(conversation.id, "user", "?", parent_id=new_id())


def test_a_parent_that_is_none_is_the_beginning(either: Any, client: Client, conversation: Conversation) -> None:
    either.add_messages(conversation.id, [NewMessage("user", "one"), NewMessage("assistant", "1")])
    either.add_messages(conversation.id, [NewMessage("user", "two")], parent_id=None)
    turn = either.turn(conversation.id, "user", "three", parent_id=None, reply_id=True)
    assert [message.content for message in turn.context.messages] == ["three"]
    assert contents(either, conversation) == ["three", ""]
    with client.stream_reply(conversation.id, parent_id=turn.messages[0].id) as reply:
        reply.write("3")
    assert contents(either, conversation) == ["three", "3"]
    assert either.get_conversation(conversation.id).kept_count == 4
    with pytest.raises(ValueError, match="stored already"):
        client.stream_reply(turn, parent_id=None)


def test_another_line_is_read_and_chosen(either: Any, conversation: Conversation) -> None:
    said = ["Rain?", "No.", "Sure?", "Yes."]
    stored = either.add_messages(conversation.id, [NewMessage("user", text) for text in said])
    other = either.add_message(conversation.id, "user", "It is.", parent_id=stored[0].id)
    assert contents(either, conversation, line=stored[3].id, limit=3, page_size=2) == said[:3]
    context = either.get_context(conversation.id, line=stored[1].id, format="openai")
    assert [message["content"] for message in context.messages] == said[:2]

    with pytest.raises(errors.PreconditionFailed):
        either.select_line(conversation.id, stored[3].id, if_match='"1"')
    chosen = either.select_line(conversation.id, stored[1].id, if_match=other.version)
    assert (chosen.message_count, chosen.kept_count) == (2, 3)
    either.select_line(conversation.id, stored[1].id, newest=True)
    assert contents(either, conversation) == said
    assert either.select_line(conversation.id, None).kept_count == 5
    assert contents(either, conversation) == []
    with pytest.raises(errors.NotFound):
        either.select_line(conversation.id, new_id())


def test_the_whole_tree_is_read_page_by_page(either: Any, conversation: Conversation) -> None:
    one, two = either.add_messages(conversation.id, [NewMessage("user", "1"), NewMessage("user", "2")])
    three = either.add_message(conversation.id, "user", "3", parent_id=one.id)
    four = either.add_message(conversation.id, "user", "4", parent_id=None)
    tree = either.tree(conversation.id, page_size=3).all()
    assert [(message.id, message.parent_id, message.on_line) for message in tree] == [
        (one.id, None, False),
        (two.id, one.id, False),
        (three.id, one.id, False),
        (four.id, None, True),
    ]
    assert [message.content for message in either.tree(conversation.id, order="desc", limit=2)] == ["4", "3"]
    assert contents(either, conversation, all=True, last=1) == ["4"]


def contents(client: Any, conversation: Conversation, **fields: Any) -> list[Any]:
    return [message.content for message in client.get_chat_history(conversation.id, **fields)]


def test_a_message_that_is_sent_again_is_stored_once(either: Any, conversation: Conversation) -> None:
    mine = new_id()
    first = either.add_message(conversation.id, "user", "Hello", id=mine)
    assert either.add_message(conversation.id, "user", "Hello", id=mine) == first
    batch = [NewMessage("assistant", "Hi"), NewMessage("user", "Bye")]
    assert list(either.add_messages(conversation.id, batch)) == list(either.add_messages(conversation.id, batch))
    with pytest.raises(errors.Conflict) as caught:
        either.add_message(conversation.id, "user", "Something else", id=mine)
    assert caught.value.param == "id"
    assert len(either.get_chat_history(conversation.id).all()) == 3


def test_history_and_lists_are_read_page_by_page(connect: Connect, proxy: Proxy, conversation: Conversation) -> None:
    client = connect(proxy.url)
    client.add_messages(conversation.id, [NewMessage("user", f"message {n}") for n in range(1, 8)])

    def positions(**options: Any) -> list[int]:
        return [message.position for message in client.get_chat_history(conversation.id, **options)]

    proxy.seen.clear()
    assert positions(page_size=3) == [1, 2, 3, 4, 5, 6, 7]
    assert len(proxy.seen) == 3
    proxy.seen.clear()
    assert positions(limit=4, page_size=3) == [1, 2, 3, 4]
    assert positions(limit=3, page_size=3) == [1, 2, 3]
    assert len(proxy.seen) == 3
    assert positions(limit=2000) == [1, 2, 3, 4, 5, 6, 7]
    assert positions(order="desc", page_size=2, limit=5) == [7, 6, 5, 4, 3]
    assert positions(after=2, before=6) == [3, 4, 5]
    assert positions(last=2) == [6, 7]

    page = client.get_chat_history(conversation.id, page_size=3).first_page()
    assert (len(page), page.has_more, page.version) == (3, True, '"2"')
    with pytest.raises(errors.NotModified):
        client.get_chat_history(conversation.id, if_none_match=page.version).all()
    assert [len(page) for page in client.get_chat_history(conversation.id, page_size=3).pages()] == [3, 3, 1]

    user = f"pages {new_id()}"
    ids = [client.get_or_create_conversation(user, new=True).id for _ in range(5)]
    assert [each.id for each in client.get_user_conversations(user, page_size=2)] == ids[::-1]
    client.add_messages(ids[0], [NewMessage("user", f"umbrella {n}") for n in range(5)])
    hits = client.search_messages(user, "umbrella -3", page_size=2).all()
    assert [hit.snippet for hit in hits] == [f"**umbrella** {n}" for n in (4, 2, 1, 0)]
    assert [hit.snippet[start:end] for hit in hits for start, end in hit.highlights] == ["umbrella"] * 4
    assert hits[0].message.position == 5
    assert hits[0].title is None
    client.update_conversation(ids[0], title="Rain")
    assert client.search_messages(user, "umbrella", limit=1).all()[0].title == "Rain"


def test_a_list_for_a_sidebar_is_filtered_and_has_the_newest_messages(either: Any) -> None:
    user = f"sidebar {new_id()}"
    rain = either.get_or_create_conversation(user, new=True, title="Räin & snow", metadata={"a b": "x&y", "done": True})
    snow = either.get_or_create_conversation(user, new=True, title="Snow", metadata={"a b": "x", "n": 7})
    said = either.add_message(rain.id, "user", "Hello")
    either.update_conversation(snow.id, archived=True, pinned=True)

    def found(**filters: Any) -> list[uuid.UUID]:
        return [each.id for each in either.get_user_conversations(user, **filters)]

    assert found() == found(order="updated") == [snow.id, rain.id]
    assert found(order="activity") == [rain.id, snow.id]
    assert found(title="RÄIN &") == found(metadata={"a b": "x&y"}) == found(metadata={"done": True}) == [rain.id]
    assert found(metadata={"n": 7, "a b": "x"}) == found(archived=True) == found(pinned=True) == [snow.id]
    assert found(archived=False) == found(pinned=False) == found(ids=[str(rain.id)]) == [rain.id]
    assert found(ids=(rain.id, snow.id), page_size=1) == [snow.id, rain.id]
    assert found(order="activity", title="snow", include="last_message", page_size=1) == [rain.id, snow.id]
    with pytest.raises(errors.BadRequest):
        found(ids=[])

    plain, listed = (either.get_user_conversations(user, include=each).all() for each in (None, "last_message"))
    assert [each.last_message for each in plain] == [None, None]
    assert [each.last_message for each in listed] == [None, said]
    assert plain == listed


def test_a_conversation_is_copied_up_to_a_message(connect: Connect, proxy: Proxy, conversation: Conversation) -> None:
    client = connect(proxy.url, retry=Retry(base=0.01))
    client.update_conversation(conversation.id, title="Rain", metadata={"a": 1})
    client.add_messages(conversation.id, [NewMessage("user", "One"), NewMessage("user", "Two", token_count=3)])
    proxy.seen.clear()
    proxy.faults = [LOSE_ANSWER]
    copy = client.fork_conversation(conversation.id)
    assert len({seen.body for seen in proxy.seen}) == 1 < len(proxy.seen)
    assert copy.id.version == 7
    assert (copy.title, copy.metadata, copy.message_count, copy.version) == ("Rain", {"a": 1}, 2, '"1"')
    assert (copy.forked_from.conversation_id, copy.forked_from.position) == (conversation.id, 2)
    assert [each.token_count for each in client.get_chat_history(copy.id)] == [None, 3]

    mine = new_id()
    short = client.fork_conversation(conversation.id, through=1, id=mine, title="Snow", metadata={})
    assert (short.id, short.title, short.metadata, short.message_count) == (mine, "Snow", {}, 1)
    client.delete_conversation(conversation.id)
    assert client.fork_conversation(conversation.id, through=1, id=str(mine), title="Snow", metadata={}) == short
    with pytest.raises(errors.NotFound):
        client.fork_conversation(conversation.id)


# JSON that a parser would not write as it read it.
RAW = rb'[{"n": 1.50, "n":1e400},  "\ud800\u00e4", null]'


def test_what_is_exported_can_be_imported_byte_for_byte(either: Any) -> None:
    user, message_id = f"exported {new_id()}", str(new_id())
    chat = either.get_or_create_conversation(user, new=True, title="Räin ☂", metadata={"a": [None]}, expires_in=3600)
    either.add_messages(chat.id, [NewMessage("user", "One\n"), NewMessage("user", "gone"), NewMessage("user", "Two")])
    either.rewind_conversation(chat.id, from_=3)
    either.summarize_conversation(chat.id, 1, "Short", token_count=1)
    either.add_message(chat.id, "assistant", tool_calls=["raw"], id=message_id)
    either.update_conversation(chat.id, archived=True, pinned=True)
    other = either.get_or_create_conversation(user, new=True)
    lines = [line.replace(b'["raw"]', RAW) for line in either.export_user(user)]
    assert [next(iter(json.loads(line))) for line in lines] == ["conversation", *["message"] * 3, "conversation"]
    assert all(line.endswith(b"}\n") for line in lines)

    before = either.get_conversation(chat.id)
    either.erase_user(user)
    assert either.export_user(user).all() == []
    assert either.import_user(user, lines) == Imported(conversations=2, messages=3, skipped=0)
    assert either.export_user(user).all() == lines
    assert RAW in b"".join(lines)
    assert either.get_conversation(chat.id) == before
    assert either.get_message(chat.id, message_id).position == 4

    # The same lines as text, without line breaks, and with empty lines.
    texts = ["", *(line.decode().rstrip("\n") for line in lines), " \n"]
    assert either.import_user(user, iter(texts)) == Imported(conversations=0, messages=0, skipped=5)
    assert either.import_user(user, []) == Imported(conversations=0, messages=0, skipped=0)
    with pytest.raises(errors.Conflict) as caught:
        either.import_user(f"{user}!", texts)
    assert caught.value.param == "line 2"
    assert either.get_conversation(other.id).user_id == user


def test_a_large_import_takes_several_requests_and_may_lose_answers(connect: Connect, proxy: Proxy) -> None:
    client = connect(proxy.url, retry=Retry(base=0.01))
    user = f"large {new_id()}"
    chat = client.get_or_create_conversation(user)
    for letter in "abcde":
        client.add_message(chat.id, "user", letter * (1 << 20))
    pages = client.export_user(user)
    assert [len(page) for page in pages.pages()] == [4, 2]
    lines = pages.all()
    client.erase_user(user)

    proxy.seen.clear()
    proxy.faults = [LOSE_ANSWER, "forward", Fault(503)]
    imported = client.import_user(user, lines)
    assert imported == Imported(conversations=0, messages=2, skipped=4)
    sent = [seen.body for seen in proxy.seen]
    assert sent == [b"".join(lines[:4])] * 2 + [b"".join(lines[4:])] * 2
    assert {seen.headers["content-type"] for seen in proxy.seen} == {"application/x-ndjson"}
    assert pages.all() == lines

    # The number of a line is that in the import, and not that in its request.
    wrong = lines[5].replace(b'"role":"user"', b'"role":"robot"')
    with pytest.raises(errors.InvalidParameter) as caught:
        client.import_user(user, ["\n", *lines[:5], "", wrong])
    assert caught.value.param == "line 8: message.role"
    assert "line 8: message.role" in str(caught.value)
    client.erase_user(user)


def test_an_imports_requests_are_as_large_as_the_api_allows(either: Any) -> None:
    waiting = Import("ada")
    half = "x" * ((2 << 20) - 1)
    assert [waiting.add(line) for line in (half, half)] == [None, None]
    full = waiting.add("y")
    assert full is not None
    assert full.body is not None
    assert len(full.body) == 4 << 20
    # The API answers what is wrong with a line that is too large.
    assert waiting.add("z" * (5 << 20)) is not None
    with pytest.raises(errors.PayloadTooLarge):
        either.import_user("ada", ["z" * (5 << 20)])
    # The largest body is not too large.
    with pytest.raises(errors.InvalidBody) as caught:
        either.import_user("ada", [half, half])
    assert caught.value.param == "line 1"

    waiting = Import("ada")
    requests = [request for _ in range(12_000) if (request := waiting.add("{}")) is not None]
    assert [(request.body or b"").count(b"\n") for request in requests] == [5000, 5000]


@pytest.mark.parametrize("lines", ["{}\n{}", b"{}", [{}], [1], None], ids=repr)
def test_what_is_no_line_is_refused(either: Any, lines: Any) -> None:
    with pytest.raises(TypeError):
        either.import_user("ada", lines)
    with pytest.raises(ValueError, match="line 2 has a line break"):
        either.import_user("ada", ["", "{}\n{}"])


def test_a_user_who_is_too_large_for_one_request_takes_several(connect: Connect, proxy: Proxy) -> None:
    client = connect(proxy.url, retry=Retry(base=0.01))
    guest, user = f"guest {new_id()}", f"user {new_id()}"
    ids = {client.get_or_create_conversation(guest, new=True).id for _ in range(2)}
    proxy.faults = [Fault(202, body=b'{"conversations": 40}'), Fault(503), Fault(202, body=b'{"conversations": 8}')]
    assert client.transfer_user(guest, user) == Transferred(conversations=50)
    assert {each.id for each in client.get_user_conversations(user)} == ids
    assert client.transfer_user(guest, user).conversations == 0
    with pytest.raises(errors.InvalidParameter) as caught:
        client.transfer_user(user, user)
    assert caught.value.param == "to"

    proxy.seen.clear()
    proxy.faults = [Fault(202, body=b'{"conversations": 3, "messages": 9, "later": 1}')]
    assert client.erase_user(user) == scrollback.Erased(conversations=5, messages=9)
    assert len(proxy.seen) == 2


def test_a_context_has_messages_in_the_form_that_is_asked_for(either: Any, conversation: Conversation) -> None:
    either.add_messages(
        conversation.id, [NewMessage("system", "Be brief."), NewMessage("user", "One"), NewMessage("user", "Two")]
    )
    context = either.get_context(conversation.id, max_messages=2, unanswered="drop")
    assert [message.position for message in context.messages] == [1, 3]
    assert (context.omitted, context.first_position, context.version) == (1, 3, '"2"')
    assert (list(context.repaired), list(context.open_calls)) == ([], [])
    plain = either.get_context(conversation.id, max_chars=1000, format="openai").messages
    assert list(plain) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One"},
        {"role": "user", "content": "Two"},
    ]
    with pytest.raises(errors.NotModified):
        either.get_context(conversation.id, if_none_match=context.version)


@pytest.mark.parametrize("user", ["auth0|6f", "a b", "a/b", "100%25", "ä☂", "?q=1#x", "...", "a+b", "%2E%2E"])
def test_any_user_id_works(either: Any, user: str) -> None:
    created = either.get_or_create_conversation(user)
    assert created.user_id == user
    assert [each.id for each in either.get_user_conversations(user)] == [created.id]
    assert either.search_messages(user, "a b+c&d=%").all() == []
    assert len(either.export_user(user).all()) == 1
    assert either.erase_user(user).conversations == 1


def test_an_empty_id_is_refused_before_it_names_something_else(either: Any, conversation: Conversation) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: either.delete_conversation(""),
        lambda: either.erase_user(""),
        lambda: either.fork_conversation(""),
        lambda: either.export_user("").all(),
        lambda: either.import_user("", []),
        lambda: either.transfer_user("", "ada"),
        lambda: either.update_message(conversation.id, ""),
        lambda: either.get_message(conversation.id, ""),
        lambda: either.delete_message(conversation.id, ""),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must not be empty"):
            call()


def test_each_kind_of_mistake_has_its_exception(either: Any, conversation: Conversation) -> None:
    def refused(kind: type[errors.ScrollbackError], call: Any) -> errors.ScrollbackError:
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind
        return caught.value

    refused(errors.InvalidUuid, lambda: either.get_conversation("no-uuid"))
    refused(errors.InvalidCharacter, lambda: either.add_message(conversation.id, "user", "\0"))
    refused(errors.InvalidParameter, lambda: either.get_chat_history(conversation.id, limit=0).all())
    refused(errors.MissingParameter, lambda: either.add_message(conversation.id, "user"))
    refused(errors.PayloadTooLarge, lambda: either.add_message(conversation.id, "user", "x" * (1 << 20) + "y"))
    error = refused(
        errors.InvalidParameter, lambda: either.add_messages(conversation.id, [{"role": "user", "content": 1}])
    )
    assert error.param == "messages[0].content"
    assert str(error).endswith(f"(400, invalid_parameter, messages[0].content, request {error.request_id})")


def test_a_value_that_is_not_json_is_named(either: Any, conversation: Conversation) -> None:
    with pytest.raises(ValueError, match=r"^metadata\.score is nan, which JSON does not have$"):
        either.add_message(conversation.id, "user", "x", metadata={"score": float("nan")})
    new = NewMessage("user", [{"type": "text", "text": "a", "scores": [1.0, float("-inf")]}])
    with pytest.raises(ValueError, match=r"^messages\[1\]\.content\[0\]\.scores\[1\] is -inf, "):
        either.add_messages(conversation.id, [NewMessage("user", "a"), new])
    for value, kind in ((object(), "object"), (b"\0", "bytes"), (datetime.now(timezone.utc), "datetime")):
        with pytest.raises(TypeError, match=rf"^metadata\.n\[0\] is {kind}, "):
            either.update_message(conversation.id, new.id, metadata={"n": [value]})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="Circular"):
        either.add_message(conversation.id, "user", "x", metadata={"loop": loop})
    assert either.get_chat_history(conversation.id).all() == []


@pytest.mark.parametrize("user", [None, 42, b"ada"])
def test_a_user_id_that_is_no_text_is_refused(either: Any, user: Any) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: either.get_user_conversations(user).all(),
        lambda: either.search_messages(user, "rain").all(),
        lambda: either.erase_user(user),
        lambda: either.export_user(user).all(),
        lambda: either.import_user(user, []),
        lambda: either.transfer_user(user, "ada"),
    ]
    # Without a user id, it is the token's user.
    calls += [lambda: either.get_or_create_conversation(user)] if user is not None else []
    for call in calls:
        with pytest.raises(TypeError, match=f"^user_id must be a text, and not {type(user).__name__}$"):
            call()
    with pytest.raises(TypeError, match=r"^conversation_id must be a text, and not "):
        either.get_conversation(user)


def test_a_long_call_id_and_large_metadata_are_stored(either: Any, conversation: Conversation) -> None:
    # The ids of some models carry signatures. The metadata may hold the probability of each token.
    longest = "c" * (16 << 10)
    largest = {"logprobs": "x" * ((256 << 10) - len('{"logprobs":""}'))}
    either.add_message(conversation.id, "assistant", tool_calls=[{"id": longest}])
    either.add_message(conversation.id, "tool", "rain", tool_call_id=longest, metadata=largest)
    stored = either.get_chat_history(conversation.id).all()[1]
    assert (stored.tool_call_id, stored.metadata) == (longest, largest)
    assert list(either.get_context(conversation.id).repaired) == []
    for param, too_much in (
        ("tool_call_id", {"tool_call_id": f"{longest}c"}),
        ("metadata", {"tool_call_id": "c", "metadata": {"logprobs": f"{largest['logprobs']}x"}}),
    ):
        with pytest.raises(errors.PayloadTooLarge) as caught:
            either.add_message(conversation.id, "tool", "rain", **too_much)
        assert caught.value.param == param


def test_an_exception_survives_a_process_boundary() -> None:
    import pickle

    error = errors.NotFound("gone", status=404, code="not_found", request_id="r")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), again.request_id) == (errors.NotFound, str(error), "r")


def test_fields_of_a_newer_server_are_kept_and_those_of_an_older_one_may_miss(connect: Connect, proxy: Proxy) -> None:
    client = connect(proxy.url)
    time = "2026-11-22T10:00:00.123456Z"
    message = {
        "id": str(new_id()),
        "conversation_id": str(new_id()),
        "position": 1,
        "role": "critic",
        "content": "x",
        "tool_calls": None,
        "tool_call_id": None,
        "name": None,
        "metadata": {},
        "created_at": time,
        "updated_at": time,
        "token_count": 7,
        "mood": "cheerful",
        "version": "theirs",
    }
    context = {"messages": [message], "omitted": 0, "tokens": 12, "later": 1}
    proxy.faults = [Fault(200, body=json.dumps(context).encode(), headers={"etag": '"9"'})]
    answer = client.get_context(new_id())
    assert (answer.version, answer.extra, answer.first_position) == ('"9"', {"later": 1}, None)
    assert answer.messages[0].role == "critic"
    assert answer.messages[0].extra["mood"] == "cheerful"
    assert answer.messages[0].status == "complete"
    hit = {"message": message, "snippet": "x", "score": 1}
    proxy.faults = [Fault(200, body=json.dumps([hit]).encode())]
    assert client.search_messages("ada", "x").first_page()[0].extra == {"score": 1}


@pytest.mark.parametrize("body", [b"<html>secret</html>", b"[1]", b'{"id": "secret"}', b"null", b"\xff", b'"secret"'])
def test_what_is_no_response_of_scrollbacks_is_an_exception_without_its_text(
    connect: Connect, proxy: Proxy, body: bytes
) -> None:
    client = connect(proxy.url)
    calls: list[Callable[[], Any]] = [
        lambda: client.get_conversation(new_id()),
        lambda: client.get_chat_history(new_id()).all(),
        lambda: client.get_context(new_id()),
        lambda: client.export_user("ada").all(),
        lambda: client.erase_user("ada"),
        lambda: client.transfer_user("ada", "bob"),
        lambda: client.import_user("ada", ["{}"]),
    ]
    for call in calls:
        proxy.faults = [Fault(200, body=body)]
        with pytest.raises(errors.InvalidResponse) as caught:
            call()
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_a_next_link_never_takes_the_token_to_another_host(connect: Connect, proxy: Proxy) -> None:
    client = connect(proxy.url, "token")
    for link in ("http://127.0.0.1:9/x", "//127.0.0.1:9/x", "x"):
        proxy.faults = [Fault(200, body=b"[]", headers={"link": f'<{link}>; rel="next"'})]
        with pytest.raises(errors.InvalidResponse, match="another host"):
            client.get_chat_history(new_id()).all()


def test_a_base_url_may_have_a_path(connect: Connect, proxy: Proxy) -> None:
    client = connect(f"{proxy.url}/prod/")
    links = [f'<{prefix}/users/ada/conversations?cursor=x>; rel="next"' for prefix in ("", "/prod")]
    proxy.faults = [*(Fault(200, body=b"[]", headers={"link": link}) for link in links), Fault(200, body=b"[]")]
    assert client.get_user_conversations("ada").all() == []
    following = "/prod/users/ada/conversations?cursor=x"
    assert [seen.path for seen in proxy.seen] == ["/prod/users/ada/conversations", following, following]


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "ftp://a", "http://", "http://u:secret@a", "http://a?x=1", ""])
def test_a_base_url_that_cannot_work_is_refused_at_once(connect: Connect, url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        connect(url)
    assert "secret" not in str(caught.value)


def test_the_types_are_those_that_a_type_checker_sees(client: Client, conversation: Conversation) -> None:
    # mypy checks these, and the run checks them again.
    message = assert_type(client.add_message(conversation.id, "user", "Hello"), Message)
    assert_type(client.add_messages(conversation.id, [NewMessage("user", "Hello")]), Page[Message])
    history = assert_type(client.get_chat_history(conversation.id), Pages[Message])
    assert_type(history.all(), list[Message])
    assert_type(client.tree(conversation.id), Pages[Message])
    assert_type(client.select_line(conversation.id, message.id), Conversation)
    assert_type(client.get_context(conversation.id), Context[Message])
    assert_type(client.fork_conversation(conversation.id), Conversation)
    lines = assert_type(client.export_user("nobody"), Pages[bytes])
    assert_type(client.import_user("nobody", lines), Imported)
    assert_type(client.transfer_user("nobody", "ada"), Transferred)
    assert_type(client.get_context(conversation.id, format="openai"), Context[dict[str, Any]])
    turn = assert_type(client.turn(conversation.id, "user", "Hello", context={"format": "openai"}), Turn)
    assert_type(turn.context, Context[Any])
    assert isinstance(message, Message)
    assert {message, conversation} == {message, conversation}


def test_ids_are_of_version_7_and_in_the_order_of_time() -> None:
    before = datetime.now(timezone.utc).timestamp()
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(each.version == 7 and each.variant == uuid.RFC_4122 for each in ids)
    assert abs((ids[0].int >> 80) / 1000 - before) < 1


class Dumped:
    """A message of OpenAI's package, as far as it counts here."""

    def model_dump(self) -> dict[str, Any]:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        return {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "reasoning_content": "Hm.",
            "tool_calls": [call],
            "logit": 1,
        }


def test_a_message_of_openais_package_is_stored_whole(client: Client, conversation: Conversation) -> None:
    asked = {"role": "user", "content": "Rain?", "name": "Ada"}
    both = [NewMessage.from_openai(Dumped(), metadata={"model": "m"}, token_count=7), NewMessage.from_openai(asked)]
    reply, question = client.add_messages(conversation.id, both)
    assert reply == client.get_message(conversation.id, both[0].id)
    assert (reply.content, reply.tool_calls, reply.token_count) == (None, Dumped().model_dump()["tool_calls"], 7)
    assert (reply.extra, reply.metadata) == ({"reasoning_content": "Hm."}, {"model": "m", "openai": {"logit": 1}})
    assert (question.role, question.content, question.name, question.metadata) == ("user", "Rain?", "Ada", {})
    for wrong in (3, "text", None, {"content": "x"}, ["role"]):
        with pytest.raises(TypeError, match="has a role"):
            NewMessage.from_openai(wrong)  # type: ignore[arg-type]
