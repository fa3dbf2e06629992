"""The command `scrollback`. It is a program with a `Client`, and uses nothing else of the API."""

from __future__ import annotations

import functools
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Concatenate, Literal, ParamSpec

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
from .errors import NotModified, ScrollbackError
from .models import Conversation, Message

P = ParamSpec("P")


class Failure(click.ClickException):
    """An error, as one line."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints the line."""
        click.echo(f"scrollback: {printable(self.message)}", file=file, err=True)


def _out() -> Console:
    # Markup and emoji codes are the stored text's own. Numbers and names in it get no colours.
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


def _command(function: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """Gives a command its client, and turns what the client raises into one line."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        url, token = click.get_current_context().obj
        try:
            with Client(url, token) as client:
                function(client, *args, **kwargs)
        except (ScrollbackError, ValueError) as error:
            raise Failure(str(error)) from None
        except BrokenPipeError:
            # The reader, such as `head`, has enough. click ends the command quietly.
            raise
        except OSError as error:
            raise Failure(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    return run


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_unfold = click.option("--unfold", is_flag=True, help="Show the arguments and results of tools in full.")
_limit = click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show N at most.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--url",
    envvar="SCROLLBACK_URL",
    default="http://127.0.0.1:9000",
    show_envvar=True,
    show_default=True,
    help="Where the API is.",
)
@click.option(
    "--token",
    envvar="SCROLLBACK_TOKEN",
    show_envvar=True,
    help="The bearer token. Other users of the machine can see options, so set the variable instead.",
)
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def cli(context: click.Context, url: str, token: str | None) -> None:
    """Reads and moves the chat histories that Scrollback stores."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a file that is not UTF-8 gets escapes, and not an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    context.obj = (url, token or None)


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


def _title(conversation: Conversation) -> str:
    return folded(conversation.title) if conversation.title else "-"


@cli.command()
@click.argument("conversation")
@click.option("--last", type=click.IntRange(1, 1000), metavar="N", help="Show the newest N messages only.")
@_unfold
@_json
@_command
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
    for hit in client.search_messages(user, query, limit=limit):
        if as_json:
            _print_json(hit)
            continue
        line = Text(str(hit.message.conversation_id), style="cyan")
        line.append(f"  {hit.message.position}  {local(hit.message.created_at)}  ", style="dim")
        line.append(folded(hit.title or "-"), style="bold")
        console.print(line)
        console.print(Text("  ").append(highlighted(hit)))


@cli.command()
@click.argument("conversation")
@click.option("--max-messages", type=int, metavar="N", help="N messages at most.")
@click.option("--max-chars", type=int, metavar="N", help="N characters at most.")
@click.option("--max-tokens", type=int, metavar="N", help="N tokens at most.")
@click.option("--step", type=int, metavar="N", help="The start moves when N more are appended.")
@click.option("--tool-results", type=int, metavar="N", help="The newest N tool results keep their contents.")
@click.option("--unanswered", type=click.Choice(["answer", "drop"]), help="What happens to a call without a result.")
@click.option(
    "--format", type=click.Choice(["openai", "anthropic", "responses"]), help="Print JSON in the form of this API."
)
@_unfold
@_json
@_command
def context(
    client: Client,
    /,
    conversation: str,
    format: Literal["openai", "anthropic", "responses"] | None,  # noqa: A002
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
@click.option("-f", "--follow", is_flag=True, help="Go on until the reply is complete.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05),
    default=0.2,
    show_default=True,
    help="Seconds between two requests, at least.",
)
@_command
def tail(client: Client, conversation: str, message: str | None, follow: bool, interval: float) -> None:
    """Shows the newest message of CONVERSATION, or MESSAGE. With -f, it follows a reply that is being written.

    The exit code is 1 if the writer of the reply is lost.
    """
    if message is None:
        newest = client.get_chat_history(conversation, last=1).all()
        if not newest:
            raise Failure("the conversation has no messages")
        message = str(newest[0].id)
    found = client.get_message(conversation, message)
    console = _out()
    console.print(heading(found))
    _write(console, spoken(found.content))
    # How many characters are shown. Content parts cannot be read from a place within them, so they are not followed.
    length = None if isinstance(found.content, list) else len(found.content or "")
    while follow and found.status == "in_progress":
        time.sleep(interval)
        try:
            found = client.get_message(conversation, message, skip=length, wait=20, if_none_match=found.version)
        except NotModified:
            continue
        if length is not None and isinstance(found.content, str):
            _write(console, found.content)
            length += len(found.content)
    console.print()
    for line in call_lines(calls_of(found), unfold=False):
        console.print(line)
    if follow and found.status == "incomplete":
        raise Failure("the reply is incomplete: its writer has not written to it for a while")


def _write(console: Console, text: str) -> None:
    console.print(Text(block(text)), end="")


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
