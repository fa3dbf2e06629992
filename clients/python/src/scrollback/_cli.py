"""The command `scrollback`. It is a program with a `Client`, and uses nothing else of the API."""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Concatenate, Literal, NoReturn, ParamSpec
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from . import __version__
from ._client import Client
from ._terminal import (
    block,
    body,
    call_lines,
    calls_of,
    fold,
    folded,
    heading,
    highlighted,
    local,
    plain,
    printable,
    spoken,
)
from .errors import NotFound, NotModified, ScrollbackError
from .models import Conversation, Message, Page

P = ParamSpec("P")


class Failure(click.ClickException):
    """An error, as one line."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the line."""
        click.echo(f"scrollback: {printable(self.message)}", file=file, err=True)


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """The reader has enough. rich would make it an error."""
        _leave_quietly()


def _leave_quietly() -> NoReturn:
    """Ends the command after its reader, such as `head`, has closed the pipe. What is still to be written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    raise SystemExit(0)


def _out() -> Console:
    # Markup and emoji codes are the stored text's own. Numbers and names in it get no colours.
    return _Output(markup=False, emoji=False, highlight=False, soft_wrap=True)


def _note(text: str) -> None:
    """Says something that is no part of the result."""
    click.echo(printable(text), err=True)


def _set(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """An option behind the command's name takes precedence over the same one before it."""
    if value is not None:
        context.obj[parameter.name] = value


def _again(name: str, help: str) -> Callable[[Callable[P, None]], Callable[P, None]]:  # noqa: A002
    """An option of `scrollback` itself, which may also be behind the command's name."""
    return click.option(f"--{name}", f"the_{name}", callback=_set, expose_value=False, help=help)


def _command(function: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """Gives a command its client and the common options, and turns what the client raises into one line."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        told = click.get_current_context().obj
        try:
            with Client(told["the_url"], told["the_token"] or None) as client:
                function(client, *args, **kwargs)
            sys.stdout.flush()
        except (ScrollbackError, ValueError) as error:
            raise Failure(str(error)) from None
        except BrokenPipeError:
            _leave_quietly()
        except OSError as error:
            raise Failure(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return _again("url", "Where the API is.")(_again("token", "The bearer token.")(run))


# An id has 36 characters.
_SHORT = re.compile("[0-9a-f][0-9a-f-]{3,34}", re.IGNORECASE)


def _one_of(given: str, ids: Iterable[UUID], what: str) -> str:
    """The id that begins with the given text."""
    found = [str(each) for each in ids if str(each).startswith(given.lower())]
    if not found:
        raise Failure(f"no {what} has an id that begins with {given}")
    if len(found) > 1:
        others = f" and {len(found) - 2} others" if len(found) > 2 else ""
        raise Failure(f"{given} is the beginning of {found[0]} and {found[1]}{others}: give more of the id")
    return found[0]


def _takes_conversation(function: Callable[Concatenate[Client, str, ...], None]) -> Callable[..., None]:
    """A command with the argument CONVERSATION. It may be the beginning of an id, if the user is known."""

    @functools.wraps(function)
    def run(client: Client, /, *, conversation: str, **kwargs: Any) -> None:
        if _SHORT.fullmatch(conversation):
            user = click.get_current_context().obj["the_user"]
            if not user:
                raise Failure("the beginning of an id is enough only for a user: --user USER, or SCROLLBACK_USER")
            ids = (each.id for each in client.get_user_conversations(user))
            conversation = _one_of(conversation, ids, f"conversation of {user}")
        function(client, conversation, **kwargs)

    return _again("user", "Whose conversation it is. Then the beginning of its id is enough.")(_command(run))


def _sure(question: str, yes: bool) -> None:
    if not yes:
        click.confirm(printable(question), abort=True, err=True)


_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_unfold = click.option("--unfold", is_flag=True, help="Show the arguments and results of tools in full.")
_limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show N at most.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--url",
    "the_url",
    envvar="SCROLLBACK_URL",
    default="http://127.0.0.1:9000",
    show_envvar=True,
    show_default=True,
    help="Where the API is.",
)
@click.option(
    "--token",
    "the_token",
    envvar="SCROLLBACK_TOKEN",
    show_envvar=True,
    help="The bearer token. Other users of the machine can see options, so set the variable instead.",
)
@click.option(
    "--user",
    "the_user",
    envvar="SCROLLBACK_USER",
    show_envvar=True,
    help="Whose conversations these are. Then the beginning of an id is enough.",
)
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def cli(context: click.Context, /, **told: str | None) -> None:
    """Reads, changes and moves the chat histories that Scrollback stores. These options may also be behind a command's name."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a file that is not UTF-8 gets escapes, and not an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    context.obj = told


def _print_json(value: Any, *, indent: int | None = None) -> None:
    # ASCII only: a terminal can obey characters that JSON may hold as they are.
    click.echo(json.dumps(plain(value), indent=indent))


@cli.command("ls")
@click.argument("user")
@click.option("--archived/--not-archived", default=None, help="Only conversations that are archived, or that are not.")
@_limit
@_json
@_command
def list_conversations(client: Client, user: str, archived: bool | None, limit: int | None, as_json: bool) -> None:
    """Lists USER's conversations, the most recently updated first.

    A line has the id, the time of the last update, the number of messages and the title.
    """
    console = _out()
    conversation = None
    for conversation in client.get_user_conversations(user, archived=archived, limit=limit):
        if as_json:
            _print_json(conversation)
            continue
        line = Text(str(conversation.id), style="cyan")
        line.append(f"  {local(conversation.updated_at)}", style="dim")
        line.append(f"  {conversation.message_count:>5}  ", style="default")
        line.append(_title(conversation), style="bold")
        for flag, since in (("pinned", conversation.pinned_at), ("archived", conversation.archived_at)):
            if since is not None:
                line.append(f"  ({flag})", style="yellow")
        console.print(line)
    if conversation is None:
        state = {None: "", True: "archived ", False: "unarchived "}[archived]
        _nothing_found(client, user, f"{user} has no {state}conversations")


def _nothing_found(client: Client, user: str, text: str) -> None:
    """Says that a list is empty. A user id that is wrong looks the same to the API, so it says that, too."""
    known = client.get_user_conversations(user, limit=1).all()
    _note(text if known else f"nothing is stored for the user {user}")


def _title(conversation: Conversation) -> str:
    return folded(conversation.title) if conversation.title else "-"


@cli.command()
@click.argument("conversation")
@click.option("--last", type=click.IntRange(1, 1000), metavar="N", help="Show the newest N messages only.")
@_unfold
@_json
@_takes_conversation
def show(client: Client, conversation: str, last: int | None, unfold: bool, as_json: bool) -> None:
    """Shows CONVERSATION. A call to a tool and its result are a line each."""
    messages = client.get_chat_history(conversation, last=last)
    if as_json:
        for message in messages:
            _print_json(message)
        return
    found = client.get_conversation(conversation)
    line = Text(_title(found), style="bold underline")
    line.append(f"  {printable(found.user_id)}, {found.message_count} messages", style="not bold not underline dim")
    _out().print(line)
    _show(messages, unfold)


def _show(messages: Iterable[Message], unfold: bool) -> None:
    console = _out()
    for shown in fold(messages):
        console.print()
        console.print(heading(shown.message))
        if text := body(shown, unfold=unfold):
            console.print(text)


@cli.command()
@click.argument("user")
@click.argument("query")
@_limit
@_json
@_command
def search(client: Client, user: str, query: str, limit: int | None, as_json: bool) -> None:
    """Searches USER's messages for QUERY, the newest first.

    QUERY has words that must all be there, "a phrase", -not, and `or` between alternatives. Quote it for the shell.
    """
    console = _out()
    hit = None
    for hit in client.search_messages(user, query, limit=limit):
        if as_json:
            _print_json(hit)
            continue
        line = Text(str(hit.message.conversation_id), style="cyan")
        line.append(f"  {hit.message.position}  {local(hit.message.created_at)}  ", style="dim")
        line.append(folded(hit.title or "-"), style="bold")
        console.print(line)
        console.print(Text("  ").append(highlighted(hit)))
    if hit is None:
        _nothing_found(client, user, f"no message of {user} matches")


@cli.command()
@click.argument("conversation")
@click.option("--max-messages", type=int, metavar="N", help="N messages at most.")
@click.option("--max-chars", type=int, metavar="N", help="N characters at most.")
@click.option("--max-tokens", type=int, metavar="N", help="N tokens at most.")
@click.option("--step", type=int, metavar="N", help="The start moves when N more are appended.")
@click.option("--tool-results", type=int, metavar="N", help="The newest N tool results keep their contents.")
@click.option("--unanswered", type=click.Choice(["answer", "drop"]), help="What happens to a call without a result.")
@click.option(
    "--format",
    type=click.Choice(["openai", "anthropic", "responses", "gemini", "converse"]),
    help="Print JSON in the form of this API.",
)
@_unfold
@_json
@_takes_conversation
def context(
    client: Client,
    conversation: str,
    /,
    format: Literal["openai", "anthropic", "responses", "gemini", "converse"] | None,  # noqa: A002
    unfold: bool,
    as_json: bool,
    **limits: Any,
) -> None:
    """Shows what a model gets of CONVERSATION: the messages that fit, with every call answered."""
    if format is not None:
        _print_json(client.get_context(conversation, format=format, **limits), indent=2)
        return
    found = client.get_context(conversation, **limits)
    if as_json:
        _print_json(found, indent=2)
        return
    _show(found.messages, unfold)
    facts = [f"{len(found.messages)} messages", f"{found.tokens} tokens{' (estimated)' if found.estimated else ''}"]
    facts.append(f"{found.omitted} messages omitted")
    if found.summary is not None:
        facts.append(f"a summary of the messages through {found.summary.get('through')}")
    if found.repaired:
        facts.append(f"repaired: {', '.join(map(str, found.repaired))}")
    _out().print(Text(f"\n{', '.join(facts)}", style="dim"))


@cli.command()
@click.argument("conversation")
@click.argument("message", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Look for new messages each S seconds.",
)
@_takes_conversation
def tail(client: Client, conversation: str, /, message: str | None, follow: bool, interval: float) -> None:
    """Shows the newest message of CONVERSATION, or MESSAGE, for which the beginning of its id is enough.

    With -f, it follows CONVERSATION: it shows new messages, and replies while they are written, until it is interrupted. If MESSAGE is
    given, it ends with that message. The exit code is then 1 if the writer of the reply is lost.
    """
    if message is not None:
        if _SHORT.fullmatch(message):
            ids = (each.id for each in client.get_chat_history(conversation))
            message = _one_of(message, ids, "message of the conversation")
        found = _follow(client, client.get_message(conversation, message), follow)
        if follow and found.status == "incomplete":
            raise Failure(_LOST)
        return
    newest = client.get_chat_history(conversation, last=1).first_page()
    if not newest and not follow:
        raise Failure("the conversation has no messages")
    position = 0
    while True:
        for each in newest:
            if _follow(client, each, follow).status == "incomplete" and follow:
                _note(_LOST)
            # No position is used twice, also after a rewind.
            position = each.position
        if not follow:
            return
        # A page that is not the last one has no version to wait for: the next look finds the rest.
        version = None if newest.has_more else newest.version
        try:
            time.sleep(interval)
            newest = client.get_chat_history(conversation, after=position, if_none_match=version).first_page()
        except NotModified:
            newest = Page([], version=version)


_LOST = "the reply is incomplete: its writer has not written to it for a while"


def _follow(client: Client, message: Message, follow: bool) -> Message:
    """Shows a message, and what is added to it until it ends. The result is the message as it ended."""
    console = _out()
    console.print(heading(message))
    _write(console, spoken(message.content))
    if follow and message.status == "in_progress":
        length = len(message.content) if isinstance(message.content, str) else 0
        following = client.follow_reply(message.conversation_id, message.id, skip=length)
        try:
            for piece in following:
                _write(console, piece)
            message = following.message
        except NotFound:
            console.print()
            client.get_conversation(message.conversation_id)
            _note("the reply was deleted")
    console.print()
    for line in call_lines(calls_of(message), unfold=False):
        console.print(line)
    return message


def _write(console: Console, text: str) -> None:
    console.print(Text(block(text)), end="")


@cli.command()
@click.argument("conversation")
@click.argument("title")
@_takes_conversation
def rename(client: Client, conversation: str, /, title: str) -> None:
    """Gives CONVERSATION another TITLE. An empty one takes the title away."""
    client.update_conversation(conversation, title=title or None)


@cli.command()
@click.argument("conversation")
@click.option("--undo", is_flag=True, help="Take it out of the archive.")
@_takes_conversation
def archive(client: Client, conversation: str, /, undo: bool) -> None:
    """Archives CONVERSATION."""
    client.update_conversation(conversation, archived=not undo)


@cli.command()
@click.argument("conversation")
@click.option("--through", type=int, metavar="N", help="Copy the messages up to position N only.")
@click.option("--title", help="The title of the copy.")
@_json
@_takes_conversation
def fork(client: Client, conversation: str, /, through: int | None, title: str | None, as_json: bool) -> None:
    """Copies CONVERSATION, and prints the id of the copy."""
    copy = client.fork_conversation(conversation, through=through, title=title)
    if as_json:
        _print_json(copy)
    else:
        click.echo(str(copy.id))


@cli.command("rm")
@click.argument("conversation")
@_yes
@_takes_conversation
def remove(client: Client, conversation: str, /, yes: bool) -> None:
    """Deletes CONVERSATION with its messages, after a question."""
    found = client.get_conversation(conversation)
    _sure(f"Delete the conversation {_title(found)} with its {found.message_count} messages?", yes)
    client.delete_conversation(conversation)


@cli.command()
@click.argument("user")
@_yes
@_command
def erase(client: Client, user: str, yes: bool) -> None:
    """Deletes everything that is stored for USER, after a question."""
    _sure(f"Erase everything that is stored for the user {user}? Nothing brings it back.", yes)
    erased = client.erase_user(user)
    _note(f"{erased.conversations} conversations and {erased.messages} messages erased")


@cli.command("export")
@click.argument("user")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
@_command
def export_user(client: Client, user: str, output: Path | None) -> None:
    """Writes everything that is stored for USER, as lines of JSON. `scrollback import` reads them.

    The lines go to the standard output, or to a file that only you may read. The file is there once the export is complete.
    """
    if output is None and sys.stdout.isatty():
        raise Failure("the lines are not for a terminal: use --output FILE, or send them to another program")
    count = 0
    with _destination(output) as file, _progress() as progress:
        task = progress.add_task("Exporting", total=None)
        for line in client.export_user(user):
            file.write(line)
            count += 1
            progress.advance(task, len(line))
    click.echo(f"{count} lines exported", err=True)


@contextmanager
def _destination(path: Path | None) -> Iterator[IO[bytes]]:
    """The standard output, or a file that gets its name when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        try:
            yield file
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


@cli.command("import")
@click.argument("user")
@click.argument("file", type=click.File("rb"), default="-")
@_command
def import_user(client: Client, user: str, file: IO[bytes]) -> None:
    """Stores the lines of an export for USER, from FILE or the standard input. It takes a token with the service scope.

    Lines that are stored already are skipped, so an import that was interrupted can be repeated.
    """
    with _progress() as progress:
        task = progress.add_task("Importing", total=_size(file))

        def lines() -> Iterator[bytes]:
            for line in file:
                yield line
                progress.advance(task, len(line))

        imported = client.import_user(user, lines())
    expired = f", {imported.expired} lines had expired" if imported.expired else ""
    click.echo(
        f"{imported.conversations} conversations and {imported.messages} messages imported, "
        f"{imported.skipped} lines were stored already{expired}",
        err=True,
    )


def _size(file: IO[bytes]) -> int | None:
    """How many bytes a file has. None if it is a pipe."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _progress() -> Progress:
    """How much has been read, on the standard error. Where that is no terminal, nothing is shown."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
