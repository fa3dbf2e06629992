"""The examples, started as their docstrings say, against the real API."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from conftest import PACKAGE
from scrollback import Client, new_id
from tests.proxy import LOSE_ANSWER, Proxy
from tests.test_acceptance import environment, needs_langchain
from tests.turns import count, requests_of

EXAMPLES = PACKAGE / "examples"


def variables(url: str, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PACKAGE / "src"), "SCROLLBACK_URL": url, **more}


@contextmanager
def chat_back_end(server_url: str) -> Iterator[str]:
    """The chat back end, on a free port."""
    command = [sys.executable, "-W", "error", "-m", "uvicorn", "chat:app", "--app-dir", str(EXAMPLES), "--port", "0"]
    with subprocess.Popen(command, env=variables(server_url), stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        log = ""
        for line in server.stderr:
            log += line
            if found := re.search(r"running on (http:\S+)", line):
                break
        else:
            pytest.fail(f"the chat back end did not start:\n{log}")
        yield found.group(1)
        server.terminate()
        # Its log is read to the end. An exception of a request would be in it.
        assert "Traceback" not in server.stderr.read()


@pytest.fixture(scope="module")
def chat_url(server_url: str) -> Iterator[str]:
    with chat_back_end(server_url) as url:
        yield url


@pytest.fixture
def chats(chat_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=chat_url, timeout=30) as chats:
        yield chats


def begin(chats: httpx.Client) -> str:
    begun = chats.post("/chats", json={"user": f"user-{new_id()}"})
    assert begun.status_code == 201
    return f"/chats/{begun.json()['id']}"


def said(chats: httpx.Client, chat: str) -> list[tuple[int, str, str, str]]:
    return [tuple(each.values()) for each in chats.get(chat).json()]


def test_the_chat_streams_its_reply_and_stores_it(chats: httpx.Client) -> None:
    chat = begin(chats)
    with chats.stream("POST", f"{chat}/messages", json={"text": "Hello"}) as reply:
        pieces = list(reply.iter_text())
    assert len(pieces) > 1
    assert "".join(pieces) == "I have read 2 messages. You said: Hello"
    assert said(chats, chat) == [(2, "user", "Hello", "complete"), (3, "assistant", "".join(pieces), "complete")]


def test_a_question_that_is_sent_again_is_stored_once(chats: httpx.Client) -> None:
    chat = begin(chats)
    question = {"text": "Hello", "id": str(new_id())}
    for _ in range(2):
        chats.post(f"{chat}/messages", json=question).raise_for_status()
    assert [each[1] for each in said(chats, chat)] == ["user", "assistant"]
    chats.post(f"{chat}/messages", json={"text": "Are you there?"}).raise_for_status()
    # Nothing of what came since then is replaced. The reply is the one that is stored.
    stored = said(chats, chat)
    assert chats.post(f"{chat}/messages", json=question).text == stored[1][2]
    assert said(chats, chat) == stored
    assert [each[1] for each in stored] == ["user", "assistant"] * 2


def test_the_chat_replaces_its_last_reply(chats: httpx.Client) -> None:
    chat = begin(chats)
    assert chats.post(f"{chat}/regenerate").status_code == 409
    first = chats.post(f"{chat}/messages", json={"text": "Hello"}).text
    assert chats.post(f"{chat}/regenerate").text == first
    assert [each[1] for each in said(chats, chat)] == ["user", "assistant"]


def test_a_question_whose_reply_was_replaced_is_answered_with_the_new_one(chats: httpx.Client) -> None:
    chat = begin(chats)
    question = {"text": "Hello", "id": str(new_id())}
    chats.post(f"{chat}/messages", json=question).raise_for_status()
    chats.post(f"{chat}/regenerate").raise_for_status()
    stored = said(chats, chat)
    assert chats.post(f"{chat}/messages", json=question).text == stored[-1][2]
    assert said(chats, chat) == stored


def test_a_turn_of_the_chat_is_two_requests(proxy: Proxy) -> None:
    with chat_back_end(proxy.url) as url, httpx.Client(base_url=url, timeout=30) as chats:
        chat = begin(chats)
        count(proxy)
        chats.post(f"{chat}/messages", json={"text": "Hello"}).raise_for_status()
        assert count(proxy) == requests_of("`examples/chat.py`, with FastAPI")[1] == 2
        # The answer to the turn is lost. The place of the reply is there, and the reply is written into it.
        proxy.faults = [LOSE_ANSWER]
        assert chats.post(f"{chat}/messages", json={"text": "And now?"}).text.endswith("You said: And now?")
        assert [each[1] for each in said(chats, chat)] == ["user", "assistant"] * 2


def test_the_chat_summarizes_what_the_model_does_not_see(chats: httpx.Client, client: Client) -> None:
    chat = begin(chats)
    for number in range(1, 7):
        chats.post(f"{chat}/messages", json={"text": f"Message {number}"}).raise_for_status()
    identity = UUID(chat.removeprefix("/chats/"))
    context = client.get_context(identity, max_messages=6)
    assert context.summary is not None
    summary = context.messages[1].content
    assert isinstance(summary, str)
    # It stands for the first messages, also after it was renewed.
    assert summary.startswith("Earlier; user: Message 1; ")
    assert "Message 2" in summary
    assert context.messages[-1].content == said(chats, chat)[-1][2]


def test_the_chat_passes_errors_on(chats: httpx.Client) -> None:
    missing = chats.get(f"/chats/{new_id()}")
    assert (missing.status_code, missing.json()) == (404, {"detail": "no such conversation or message"})


@needs_langchain
def test_a_turn_of_the_agent_is_stored_with_a_request_for_each_step(proxy: Proxy) -> None:
    command = [str(environment("langchain")), str(EXAMPLES / "agent.py"), "Is it raining in Oslo?"]
    user = f"user-{new_id()}"
    subprocess.run(command, env=variables(proxy.url, CHAT_USER=user), capture_output=True, check=True)
    # The user's conversation, the turn, and the three messages of the agent.
    assert count(proxy) == requests_of("`examples/agent.py`, with LangGraph and one tool call")[1] == 5


@needs_langchain
def test_the_agent_reads_the_context_and_writes_its_turns(server_url: str, client: Client, tmp_path: Path) -> None:
    python = environment("langchain")
    user = f"user-{new_id()}"

    def ask(question: str) -> str:
        command = [str(python), str(EXAMPLES / "agent.py"), question]
        done = subprocess.run(
            command, env=variables(server_url, CHAT_USER=user), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ask("Is it raining in Oslo?") == "Answer 1: rain in Oslo, 7 degrees.\n"
    # The second run knows the first one's question from the context.
    assert ask("And in Bergen?") == "Answer 2: rain in Bergen, 7 degrees.\n"
    chat = client.get_or_create_conversation(user)
    stored = client.get_chat_history(chat.id).all()
    assert [message.role for message in stored] == ["user", "assistant", "tool", "assistant"] * 2
    assert [message.tool_call_id for message in stored if message.role == "tool"] == ["call_1", "call_2"]
    assert client.get_context(chat.id).repaired == []
