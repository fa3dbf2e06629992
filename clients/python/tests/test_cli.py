"""The command `scrollback`, against the real API: in this process, or in one of its own where that makes a difference."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner

from conftest import PACKAGE, token_of
from scrollback import Client, Conversation, __version__, new_id
from scrollback._cli import cli

# A program that writes to a terminal could clear it, change its title, or show a text as another one.
HOSTILE = (
    "a\x1b[2Jb\x1b]0;title\x07c\x9b31md\re\u202ef[bold]h[/bold] :smile: \x7f"
    + "\u200b\u2060\ufeff\xad\U000e0041\u200d\u200d\ufe0f"
)
# In a line of its own, white space is a single space. In a text of several lines, a carriage return is shown.
IN_A_LINE = (
    r"a\x1b[2Jb\x1b]0;title\x07c\x9b31md e\u202ef[bold]h[/bold] :smile: \x7f\u200b\u2060\ufeff\xad\U000e0041"
    + "\u200d"
    + r"\u200d\ufe0f"
)
SHOWN = (
    r"a\x1b[2Jb\x1b]0;title\x07c\x9b31md\re\u202ef[bold]h[/bold] :smile: \x7f\u200b\u2060\ufeff\xad\U000e0041"
    + "\u200d"
    + r"\u200d\ufe0f"
)

CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
CONTROL = {*range(32), *range(127, 160)} - {ord("\n")}
HIDDEN = {
    0xAD,
    0x200B,
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xE0000, 0xE0080),
}


def environment(url: str, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCROLLBACK_")}
    kept |= {"PYTHONPATH": str(PACKAGE / "src"), "PYTHONUTF8": "1", "SCROLLBACK_URL": url, "TZ": "UTC"}
    return {**kept, **more}


COMMAND = [sys.executable, "-W", "error", "-m", "scrollback"]


def scrollback(url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in this process: starting one takes longer than most commands."""
    ours = {"SCROLLBACK_URL": url, "SCROLLBACK_TOKEN": None, **more}
    done = CliRunner().invoke(cli, arguments, prog_name="scrollback", env=ours, catch_exceptions=False)
    # Bytes: a text's line endings are shown as they are.
    return subprocess.CompletedProcess(
        arguments, done.exit_code, done.stdout_bytes.decode(), done.stderr_bytes.decode()
    )


def process(url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as its users do."""
    done = subprocess.run([*COMMAND, *arguments], env=environment(url, **more), capture_output=True, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def printed(url: str, *arguments: str, **more: str) -> str:
    done = scrollback(url, *arguments, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_a_terminal(url: str, *arguments: str) -> str:
    """What the command writes to a terminal, which it may give colours."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [*COMMAND, *arguments], env=environment(url, TERM="xterm-256color"), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 4096):
            written += piece
    except OSError:
        # Linux says so when the other end is closed.
        pass
    os.close(ours)
    command.wait()
    return written.decode()


@pytest.fixture
def user() -> str:
    """A user of the test's own."""
    return f"user-{new_id()}"


@pytest.fixture
def chat(client: Client, user: str) -> Conversation:
    chat = client.get_or_create_conversation(user, title="Rain in Oslo", new=True)
    client.add_messages(
        chat.id,
        [
            {"role": "user", "content": "Is it raining?"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain,\n7 degrees " + "and more " * 20},
            {"role": "assistant", "content": [{"type": "text", "text": "Yes."}, {"type": "image_url"}]},
        ],
    )
    return chat


def without_times(text: str) -> list[str]:
    return [line.rsplit("  20", 1)[0] for line in text.splitlines()]


def test_ls_lists_a_users_conversations(server_url: str, client: Client, user: str, chat: Conversation) -> None:
    old = client.get_or_create_conversation(user, new=True)
    client.update_conversation(old.id, archived=True, pinned=True)
    first, second = printed(server_url, "ls", user).splitlines()
    assert first.split("  ")[0] == str(old.id)
    assert first.endswith("    0  -  (pinned)  (archived)")
    assert second.split("  ")[0] == str(chat.id)
    assert second.endswith("    4  Rain in Oslo")
    assert printed(server_url, "ls", user, "--limit", "1").splitlines() == [first]
    assert printed(server_url, "ls", user, "--not-archived").splitlines() == [second]
    found = [json.loads(line) for line in printed(server_url, "ls", user, "--json").splitlines()]
    assert [each["id"] for each in found] == [str(old.id), str(chat.id)]
    assert found[1]["title"] == "Rain in Oslo"
    assert found[1]["created_at"].endswith("Z")


def test_show_folds_calls_and_results(server_url: str, chat: Conversation) -> None:
    lines = without_times(printed(server_url, "show", str(chat.id)))
    assert lines[0].startswith("Rain in Oslo  user-")
    assert lines[0].endswith(", 4 messages")
    assert lines[1:9] == [
        "",
        "user  1",
        "Is it raining?",
        "",
        "assistant  2",
        "Let me see.",
        '→ weather({"city": "Oslo"})',
        "← rain, 7 degrees " + ("and more " * 20)[:83] + "…",
    ]
    assert lines[9:] == ["", "assistant  4", "Yes.", "[image_url]"]
    full = printed(server_url, "show", str(chat.id), "--unfold")
    assert "← rain,\n7 degrees " + "and more " * 20 in full
    # A result whose call is not shown is a message.
    assert "tool  3" in without_times(printed(server_url, "show", str(chat.id), "--last", "2"))
    messages = [json.loads(line) for line in printed(server_url, "show", str(chat.id), "--json").splitlines()]
    assert [message["position"] for message in messages] == [1, 2, 3, 4]
    assert messages[1]["tool_calls"] == [CALL]


def test_show_reads_calls_in_every_form(server_url: str, client: Client, conversation: Conversation) -> None:
    calls = [
        {"type": "function_call", "call_id": "1", "name": "a", "arguments": "{}"},
        {"type": "tool_use", "id": "2", "name": "b", "input": {"x": 1}},
        {"id": "3", "type": "computer_call"},
        "text",
    ]
    client.add_message(conversation.id, "assistant", tool_calls={"name": "seed", "args": {"y": 2}})
    client.add_message(conversation.id, "assistant", tool_calls=calls)
    client.add_message(conversation.id, "tool", "two", tool_call_id="2")
    shown = [line for line in printed(server_url, "show", str(conversation.id)).splitlines() if line[:1] in ("→", "←")]
    assert shown == ['→ seed({"y": 2})', "→ a({})", '→ b({"x": 1})', "← two", "→ computer_call()", "→ call(text)"]


def test_search_shows_where_a_hit_is(server_url: str, user: str, chat: Conversation) -> None:
    where, snippet = printed(server_url, "search", user, "raining -snow").splitlines()
    assert where.startswith(f"{chat.id}  1  20")
    assert where.endswith("  Rain in Oslo")
    assert snippet == "  Is it raining?"
    (hit,) = printed(server_url, "search", user, "raining", "--json").splitlines()
    assert json.loads(hit)["message"]["content"] == "Is it raining?"


def test_an_empty_list_says_why(server_url: str, client: Client, user: str, chat: Conversation) -> None:
    for arguments, said in (
        (["search", user, "umbrella"], f"no message of {user} matches\n"),
        (["search", f"{user}x", "umbrella"], f"nothing is stored for the user {user}x\n"),
        (["ls", f"{user}x"], f"nothing is stored for the user {user}x\n"),
        (["ls", f"{user}x", "--json"], f"nothing is stored for the user {user}x\n"),
        (["ls", user, "--archived"], f"{user} has no archived conversations\n"),
    ):
        done = scrollback(server_url, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", said), arguments
    client.update_conversation(chat.id, archived=True)
    done = scrollback(server_url, "ls", user, "--not-archived")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{user} has no unarchived conversations\n")


def test_the_common_options_are_anywhere(server_url: str, guarded_url: str, user: str, chat: Conversation) -> None:
    wrong = "http://127.0.0.1:9"
    for arguments in (
        ["--url", server_url, "ls", user],
        ["ls", "--url", server_url, user],
        ["ls", user, "--url", server_url],
        ["--url", wrong, "ls", user, "--url", server_url],
    ):
        assert str(chat.id) in printed(wrong, *arguments), arguments
    token = token_of(user)
    assert scrollback(guarded_url, "ls", user, "--token", token).returncode == 0
    assert scrollback(guarded_url, "--token", token, "ls", user, "--token", f"{token}x").returncode == 1
    assert "Rain in Oslo" in printed(wrong, "show", str(chat.id)[:20], "--user", user, "--url", server_url)


def test_the_beginning_of_an_id_is_enough(server_url: str, client: Client, user: str) -> None:
    first, second, third = (UUID(f"0193{n}b2e-5f00-7000-8000-{new_id().hex[20:]}") for n in ("6", "6", "7"))
    for number, each in enumerate((first, second, third)):
        client.get_or_create_conversation(user, id=each, title=f"Chat {number}")
    message = client.add_message(third, "user", "Hello")
    for short in ("01937b", "01937B2E-5f00", str(third)[:-1], str(third)):
        assert "Chat 2" in printed(server_url, "show", short, SCROLLBACK_USER=user), short
    assert "Hello" in printed(server_url, "tail", "01937", str(message.id)[:13], "--user", user)
    for arguments, said in (
        (["0193"], f"0193 is the beginning of {third} and {second} and 1 others: give more of the id"),
        (["01936b"], f"01936b is the beginning of {second} and {first}: give more of the id"),
        (["01938"], f"no conversation of {user} has an id that begins with 01938"),
    ):
        failed = scrollback(server_url, "rm", "--yes", *arguments, "--user", user)
        assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", f"scrollback: {said}\n")
    assert len(client.get_user_conversations(user).all()) == 3
    unknown = scrollback(server_url, "tail", str(third), "ffff")
    assert unknown.stderr == "scrollback: no message of the conversation has an id that begins with ffff\n"
    alone = scrollback(server_url, "show", "01937")
    assert alone.returncode == 1
    assert "--user USER" in alone.stderr


def test_a_conversation_is_renamed_archived_and_forked(
    server_url: str, client: Client, user: str, chat: Conversation
) -> None:
    identity = str(chat.id)
    assert printed(server_url, "rename", identity, "Snow") == ""
    assert client.get_conversation(chat.id).title == "Snow"
    copy = client.get_conversation(printed(server_url, "fork", identity, "--through", "2", "--title", "Sun").strip())
    assert (copy.title, copy.message_count, copy.user_id) == ("Sun", 2, user)
    assert json.loads(printed(server_url, "fork", identity, "--json"))["message_count"] == 4
    printed(server_url, "rename", identity, "")
    assert client.get_conversation(chat.id).title is None
    printed(server_url, "archive", identity)
    assert client.get_conversation(chat.id).archived_at is not None
    printed(server_url, "archive", identity, "--undo")
    assert client.get_conversation(chat.id).archived_at is None


def test_what_deletes_asks(server_url: str, client: Client, user: str, chat: Conversation) -> None:
    ours = {"SCROLLBACK_URL": server_url, "SCROLLBACK_TOKEN": None}

    def answer(text: str, *arguments: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli, arguments, env=ours, input=text)
        return done.exit_code, done.stdout, done.stderr

    question = "Delete the conversation Rain in Oslo with its 4 messages? [y/N]: "
    for no in ("", "n\n", "\n"):
        code, out, said = answer(no, "rm", str(chat.id))
        assert (code, out) == (1, ""), no
        assert said.startswith(question)
    assert client.get_conversation(chat.id).message_count == 4
    other = client.get_or_create_conversation(user, new=True)
    assert answer("y\n", "rm", str(other.id))[0] == 0
    printed(server_url, "rm", "--yes", str(client.get_or_create_conversation(user, new=True).id))
    assert [found.id for found in client.get_user_conversations(user)] == [chat.id]
    code, _, said = answer("n\n", "erase", user)
    assert code == 1
    assert said.startswith(f"Erase everything that is stored for the user {user}? Nothing brings it back. [y/N]: ")
    assert len(client.get_user_conversations(user).all()) == 1
    erased = scrollback(server_url, "erase", user, "--yes")
    assert (erased.returncode, erased.stdout) == (0, "")
    assert erased.stderr == "1 conversations and 4 messages erased\n"
    assert client.get_user_conversations(user).all() == []
    missing = scrollback(server_url, "rm", str(chat.id))
    assert missing.returncode == 1
    assert missing.stderr.startswith("scrollback: no such conversation or message")


def test_context_shows_what_a_model_gets(server_url: str, chat: Conversation) -> None:
    whole = printed(server_url, "context", str(chat.id))
    assert "4 messages, " in whole.splitlines()[-1]
    assert whole.splitlines()[-1].endswith("0 messages omitted")
    short = json.loads(printed(server_url, "context", str(chat.id), "--max-messages", "1", "--json"))
    assert short["omitted"] == 4 - len(short["messages"])
    openai = json.loads(printed(server_url, "context", str(chat.id), "--format", "openai"))
    assert openai["messages"][0] == {"role": "user", "content": "Is it raining?"}


def test_an_export_is_imported_again(
    server_url: str, client: Client, user: str, chat: Conversation, tmp_path: Path
) -> None:
    file = tmp_path / "export.ndjson"
    done = scrollback(server_url, "export", user, "--output", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "5 lines exported\n")
    assert file.stat().st_mode & 0o777 == 0o600
    piped = process(server_url, "export", user)
    assert (piped.returncode, piped.stderr) == (0, "5 lines exported\n")
    assert piped.stdout.encode() == file.read_bytes() == b"".join(client.export_user(user))
    client.erase_user(user)
    first = scrollback(server_url, "import", user, str(file))
    assert first.stderr == "1 conversations and 4 messages imported, 0 lines were stored already\n"
    again = subprocess.run(
        [*COMMAND, "import", user],
        env=environment(server_url),
        input=file.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert again.stderr == b"0 conversations and 0 messages imported, 5 lines were stored already\n"
    assert b"".join(client.export_user(user)) == file.read_bytes()

    file.write_text("{}\n")
    failed = scrollback(server_url, "import", user, str(file))
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "line 1" in failed.stderr


def test_an_export_that_fails_leaves_the_file_as_it_was(user: str, tmp_path: Path) -> None:
    file = tmp_path / "export.ndjson"
    file.write_text("before")
    failed = scrollback("http://127.0.0.1:9", "export", user, "-o", str(file))
    cause = "ConnectError: Connection refused; is `cargo dev` running?"
    said = f"scrollback: no response from http://127.0.0.1:9 after 6 attempts: {cause}\n"
    assert (failed.returncode, failed.stderr) == (1, said)
    assert [path.name for path in tmp_path.iterdir()] == ["export.ndjson"]
    assert file.read_text() == "before"
    missing = scrollback("http://127.0.0.1:9", "export", user, "-o", str(tmp_path / "no" / "file"))
    assert missing.returncode == 1
    assert missing.stderr.endswith("No such file or directory\n")
    assert missing.stderr.count("\n") == 1


def test_an_export_and_an_import_show_progress_on_a_terminal(
    server_url: str, user: str, chat: Conversation, tmp_path: Path
) -> None:
    file = str(tmp_path / "export.ndjson")
    assert "Exporting" in on_a_terminal(server_url, "export", user, "--output", file)
    assert "Importing" in on_a_terminal(server_url, "import", user, file)
    assert "the lines are not for a terminal" in on_a_terminal(server_url, "export", user)


def test_tail_follows_a_reply_that_is_being_written(
    server_url: str, client: Client, conversation: Conversation
) -> None:
    with client.stream_reply(conversation.id) as reply:
        reply.write("It is \x1b[2Jrai")
        reply.flush()
        command = [*COMMAND, "tail", "-f", str(conversation.id), str(reply.id)]
        with subprocess.Popen(command, env=environment(server_url), stdout=subprocess.PIPE) as tail:
            assert tail.stdout is not None
            heading = tail.stdout.readline().decode()
            assert heading.startswith("assistant  1")
            assert heading.endswith("in_progress\n")
            beginning = rb"It is \x1b[2Jrai"
            assert tail.stdout.read(len(beginning)) == beginning
            reply.write("ning ☂.\n")
            reply.flush()
            piece = "ning ☂.\n".encode()
            assert tail.stdout.read(len(piece)) == piece
            assert tail.poll() is None
            reply.write("Yes.")
            reply.flush()
            assert tail.stdout.read(4) == b"Yes."
            client.update_message(conversation.id, reply.id, status="complete", tool_calls=[CALL])
            assert tail.stdout.read().decode() == '\n→ weather({"city": "Oslo"})\n'
        assert tail.returncode == 0


def test_tail_shows_the_newest_message_or_the_one_that_is_named(
    server_url: str, client: Client, chat: Conversation
) -> None:
    newest = ["assistant  4", "Yes.", "[image_url]"]
    assert without_times(printed(server_url, "tail", str(chat.id))) == newest
    first, *_, last = client.get_chat_history(chat.id)
    assert without_times(printed(server_url, "tail", "-f", str(chat.id), str(last.id))) == newest
    assert without_times(printed(server_url, "tail", str(chat.id), str(first.id))) == ["user  1", "Is it raining?"]
    client.rewind_conversation(chat.id)
    empty = scrollback(server_url, "tail", str(chat.id))
    assert (empty.returncode, empty.stderr) == (1, "scrollback: the conversation has no messages\n")


@contextmanager
def following(url: str, conversation: Conversation, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [*COMMAND, "tail", "-f", str(conversation.id), *options]
    with subprocess.Popen(command, env=environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        try:
            yield tail
        finally:
            tail.kill()


def test_tail_follows_a_conversation(server_url: str, client: Client, conversation: Conversation) -> None:
    """New messages, a reply that is written, one that is deleted meanwhile, and one that takes another's place."""
    client.add_message(conversation.id, "user", "old")
    with following(server_url, conversation, "--interval", "0.05") as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None

        def line() -> str:
            assert tail.stdout is not None
            return tail.stdout.readline().decode().rstrip("\n").rsplit("  20", 1)[0]

        assert [line(), line()] == ["user  1", "old"]
        client.add_messages(conversation.id, [{"role": "user", "content": f"new {n}"} for n in range(25)])
        assert [line() for _ in range(50)] == [text for n in range(25) for text in (f"user  {n + 2}", f"new {n}")]
        with client.stream_reply(conversation.id) as reply:
            assert line() == "assistant  27"
            for piece in ("It is ", "raining."):
                reply.write(piece)
                reply.flush()
                assert tail.stdout.read(len(piece)).decode() == piece
        assert line() == ""
        client.add_message(conversation.id, "assistant", "It snows.", from_=26)
        assert [line(), line()] == ["assistant  28", "It snows."]
        gone = client.add_message(conversation.id, "assistant", "It ", status="in_progress")
        assert line() == "assistant  29"
        assert tail.stdout.read(3) == b"It "
        client.delete_message(conversation.id, gone.id)
        assert tail.stderr.readline() == b"the reply was deleted\n"
        assert line() == ""
        client.add_message(conversation.id, "user", "Are you there?")
        assert [line(), line()] == ["", "user  30"]
        assert line() == "Are you there?"
        client.delete_conversation(conversation.id)
        assert tail.stderr.readline().startswith(b"scrollback: no such conversation or message")
        assert tail.wait(10) == 1


def test_tail_waits_for_the_first_message(server_url: str, client: Client, conversation: Conversation) -> None:
    with following(server_url, conversation, "--interval", "0.05") as tail:
        assert tail.stdout is not None
        assert tail.poll() is None
        client.add_message(conversation.id, "user", "first")
        assert tail.stdout.readline().startswith(b"user  1")
        assert tail.stdout.readline() == b"first\n"


def test_an_interrupt_ends_tail_without_a_traceback(
    server_url: str, client: Client, conversation: Conversation
) -> None:
    client.add_message(conversation.id, "assistant", "It is", status="in_progress")
    command = [*COMMAND, "tail", "-f", str(conversation.id)]
    # What runs behind a script's `&` ignores interrupts, and so do its children.
    with subprocess.Popen(
        command,
        env=environment(server_url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        assert tail.stdout.read(5) == b"It is"
        tail.send_signal(signal.SIGINT)
        assert tail.stderr.read() == b""
    assert tail.returncode == 130


def test_no_control_character_of_stored_text_reaches_the_terminal(server_url: str, client: Client, user: str) -> None:
    chat = client.get_or_create_conversation(user, title=HOSTILE, new=True)
    call = {"id": "1", "type": "function", "function": {"name": HOSTILE, "arguments": HOSTILE}}
    client.add_messages(
        chat.id,
        [
            {"role": "user", "content": f"raining {HOSTILE}", "name": HOSTILE},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": HOSTILE}, {"type": HOSTILE}],
                "tool_calls": [call],
            },
            {"role": "tool", "content": HOSTILE, "tool_call_id": "1"},
        ],
    )
    identity = str(chat.id)
    for arguments in (
        ["ls", user],
        ["show", identity],
        ["show", identity, "--unfold"],
        ["search", user, "raining"],
        ["context", identity],
        ["tail", identity],
    ):
        output = printed(server_url, *arguments)
        assert SHOWN in output or IN_A_LINE in output, arguments
        assert not (CONTROL | HIDDEN) & set(map(ord, output)), arguments
    # On a terminal, the command has colours of its own.
    coloured = on_a_terminal(server_url, "show", identity)
    assert SHOWN in coloured
    assert "\x1b[1" in coloured
    assert not any(sequence in coloured for sequence in ("\x1b[2J", "\x1b]", "\x07", "\x9b", "\u202e"))
    for arguments in (["ls", user], ["show", identity]):
        output = printed(server_url, *arguments, "--json")
        assert output.isascii()
        assert not CONTROL & set(map(ord, output)), arguments


def test_an_output_that_is_not_utf_8_gets_escapes(server_url: str, client: Client, conversation: Conversation) -> None:
    client.add_message(conversation.id, "user", "☂")
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    assert "\\u2602" in process(server_url, "show", str(conversation.id), **ascii_only).stdout


@pytest.mark.parametrize("command", ["ls {user}", "ls {user} --json", "show {id}", "show {id} --json", "export {user}"])
@pytest.mark.parametrize("lines", [0, 1])
def test_a_reader_that_leaves_early_is_no_error(
    server_url: str, client: Client, user: str, lines: int, command: str
) -> None:
    conversation = client.get_or_create_conversation(user, title="A title")
    client.add_messages(conversation.id, [{"role": "user", "content": "x" * 20_000} for _ in range(40)])
    arguments = command.format(user=user, id=conversation.id).split()
    with subprocess.Popen(
        [*COMMAND, *arguments], env=environment(server_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as show:
        assert show.stdout is not None
        assert show.stderr is not None
        for _ in range(lines):
            show.stdout.readline()
        show.stdout.close()
        assert show.stderr.read() == b""
    assert show.returncode == 0


def test_an_error_is_one_line(server_url: str) -> None:
    missing = str(new_id())
    for arguments, text in (
        (["show", missing], "no such conversation or message (404, not_found, request "),
        (["tail", "-f", missing], "no such conversation or message (404, not_found, request "),
        (["show", "not-an-id"], "must be a UUID"),
        (["show", ""], "conversation_id must not be empty"),
        (["--url", "ftp://127.0.0.1", "ls", "ada"], "base_url must be an http or https URL"),
        (["--url", "http://a:b", "ls", "ada"], "base_url is not a URL"),
        (["--token", "sec\nret", "ls", "ada"], "the token must be a text of printable ASCII characters"),
    ):
        failed = scrollback(server_url, *arguments)
        assert (failed.returncode, failed.stdout) == (1, "")
        assert failed.stderr.startswith(f"scrollback: {text}"), failed.stderr
        assert failed.stderr.count("\n") == 1
    assert scrollback(server_url, "ls").returncode == 2
    # A process ends with the same code and line.
    failed = process(server_url, "show", "not-an-id")
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (1, "", 1)
    assert failed.stderr.startswith("scrollback: must be a UUID")
    assert process(server_url, "ls").returncode == 2


def test_the_version_is_shown_where_the_package_is_not_installed() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("scrollback-client")
    done = process("http://127.0.0.1:9", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


def test_the_token_is_used_and_never_shown(guarded_url: str, user: str) -> None:
    token = token_of(user)
    refused = scrollback(guarded_url, "ls", user)
    assert refused.returncode == 1
    assert refused.stderr.startswith("scrollback: ")
    assert "401" in refused.stderr
    assert printed(guarded_url, "--token", token, "ls", user) == ""
    assert printed(guarded_url, "ls", user, SCROLLBACK_TOKEN=token) == ""
    empty = f"nothing is stored for the user {user}\n"
    assert process(guarded_url, "ls", user, SCROLLBACK_TOKEN=token).stderr == empty
    runs = [
        scrollback(guarded_url, "ls", "bob", SCROLLBACK_TOKEN=token),
        scrollback(guarded_url, "ls", user, SCROLLBACK_TOKEN=f"{token}x"),
        scrollback(guarded_url, "--help", SCROLLBACK_TOKEN=token),
        scrollback(guarded_url, "ls", "--no-such-option", SCROLLBACK_TOKEN=token),
    ]
    assert "403" in runs[0].stderr
    for done in runs:
        assert token not in done.stdout + done.stderr
