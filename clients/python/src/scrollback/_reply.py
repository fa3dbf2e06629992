"""A reply that is stored while a model writes it.

`_Writer` decides what is sent when. It is a generator of operations, as `_exchange` is one of attempts, so both kinds of reply share it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from . import _operations
from ._ids import new_id
from ._operations import UNSET, Id
from .errors import Cancelled, Conflict, NoResponse, ServerError, TooManyRequests

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ._exchange import Operation
    from .models import Message, Role, ToolCalls

__all__ = ["AsyncReply", "Reply"]

T = TypeVar("T")

Steps: TypeAlias = "Generator[Operation[Message], Message, None]"

log = logging.getLogger("scrollback")

# A piece that meets one of these is sent again with the next piece.
_PASSING = (NoResponse, ServerError, TooManyRequests)

# While the model writes, one attempt to store a piece takes so many seconds at most: the model's output waits meanwhile.
_PATIENCE = 5.0

# After failures, the next attempt comes so many seconds later at most.
_LONGEST_PAUSE = 10.0


class _Run(Protocol):
    def __call__(self, operation: Operation[T], /, *, patience: float | None = None) -> T: ...


class _AsyncRun(Protocol):
    def __call__(self, operation: Operation[T], /, *, patience: float | None = None) -> Coroutine[Any, Any, T]: ...


@dataclass(frozen=True)
class Stream:
    """What a reply is told: its first request, and when it stores text."""

    conversation_id: Id
    id: Id
    beginning: Operation[Message]
    flush_seconds: float
    flush_characters: int


def stream_reply(
    conversation_id: Id,
    *,
    role: Role | str = "assistant",
    id: Id | None = None,  # noqa: A002
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    from_: int | None = None,
    if_match: str | None = None,
    flush_seconds: float = 0.5,
    flush_characters: int = 2000,
) -> Stream:
    """Stores a reply while a model writes it, so that readers see it grow and a crash loses little of it.

    Args:
        conversation_id: the conversation.
        role: who speaks.
        id: the message's id. Without it, the client makes one.
        name: the speaker's name.
        metadata: your own data about the message, stored with its beginning.
        from_: replace the message at this position and all after it: a reply that is generated anew.
        if_match: begin only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.
        flush_seconds: text that has waited so long is stored with the next `write`.
        flush_characters: that many characters are stored at once.

    The block begins with an empty message whose status is `in_progress`. `write` stores text from time to time. It uses no thread, so
    text waits while nothing is written. `flush` stores it at once.

    The end of the block stores the rest and makes the message `complete`. Set `reply.tool_calls`, `reply.token_count` or `reply.metadata`
    inside of the block, and they are stored with it. An error of this last write is raised.

    If the block ends with an exception, or is cancelled, what was written is stored and the message stays `in_progress`. After 60 seconds
    it is `incomplete`, and contexts leave it out. `update_message(..., status="complete")` keeps it for contexts.

    A piece that the server does not take within 5 seconds is sent again with the next piece, so a short failure does not end the reply.
    `Conflict` is raised if somebody else has written into the message. `Cancelled` is raised if a reader has stopped the reply, by
    `cancel_reply`: by the next `write` that stores text, or by the end of the block. It is the sign to stop the model.

    >>> with client.stream_reply(conversation.id) as reply:
    ...     for piece in ("It is ", "raining."):
    ...         reply.write(piece)
    >>> reply.message.content, reply.message.status
    ('It is raining.', 'complete')
    """
    id = id or new_id()  # noqa: A001
    beginning = _operations.add_message(
        conversation_id,
        role,
        "",
        id=id,
        name=name,
        metadata=metadata,
        status="in_progress",
        from_=from_,
        if_match=if_match,
    )
    return Stream(conversation_id, id, beginning, flush_seconds, flush_characters)


class _Writer:
    """The text of a reply, and how much of it is stored.

    Attributes:
        id: the message's id.
        tool_calls: set this inside of the block, and it is stored with the end of the reply.
        token_count: set this inside of the block, and it is stored with the end of the reply.
        metadata: set this inside of the block, and it is merged into the message's metadata with the end of the reply.
    """

    def __init__(self, stream: Stream) -> None:
        self.id = stream.id
        self.tool_calls: ToolCalls | None = None
        self.token_count: int | None = None
        self.metadata: Mapping[str, Any] | None = None
        self._conversation_id = stream.conversation_id
        self._beginning = stream.beginning
        self._flush_seconds = stream.flush_seconds
        self._flush_characters = stream.flush_characters
        # The text is joined when it is sent, because joining it at each write would take quadratic time.
        self._text = ""
        self._unjoined: list[str] = []
        self._waiting = 0
        # How many characters are stored, as far as an answer has said so.
        self._stored = 0
        self._failures = 0
        self._next_flush = 0.0
        self._message: Message | None = None
        self._ended = False

    @property
    def text(self) -> str:
        """What was written so far."""
        if self._unjoined:
            self._text += "".join(self._unjoined)
            self._unjoined.clear()
        return self._text

    @property
    def message(self) -> Message:
        """The message, as the latest answer had it. After the block, it is the whole reply."""
        if self._message is None:
            raise RuntimeError("the reply has no message before its block begins")
        return self._message

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={str(self.id)!r}, characters={len(self.text)}, stored={self._stored})"

    def _check_open(self) -> None:
        if self._message is None or self._ended:
            raise RuntimeError("a reply is written inside of its block")

    def _put(self, text: str) -> bool:
        """Takes a piece. True if it is time to send."""
        self._check_open()
        if text:
            self._unjoined.append(text)
            self._waiting += len(text)
        now = time.monotonic()
        if self._failures:
            return now >= self._next_flush
        return self._waiting > 0 and (self._waiting >= self._flush_characters or now >= self._next_flush)

    def _begin(self) -> Steps:
        self._message = yield self._beginning
        self._next_flush = time.monotonic() + self._flush_seconds

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        pause = min(_LONGEST_PAUSE, self._flush_seconds * 2.0 ** min(self._failures, 16))
        self._next_flush = time.monotonic() + pause
        log.debug("stream-reply: a piece was not stored (%s); it is sent with the next one", type(error).__name__)

    def _store(self, *, complete: bool = False) -> Steps:
        """Sends what is not stored yet.

        A piece whose answer was lost may be stored. The next piece then begins too early, and the conflict says how long the content is. If
        the content is the beginning of this reply's text, the rest follows it. Otherwise somebody else has written there.
        """
        text = self.text
        # A rest may be shortened by the conflict of an attempt that was lost before. More than that is another writer.
        for attempt in range(3):
            piece = text[self._stored :]
            if not piece and not complete:
                break
            try:
                self._message = yield _operations.update_message(
                    self._conversation_id,
                    self.id,
                    append=piece or None,
                    at=self._stored if piece else None,
                    status="complete" if complete else None,
                    tool_calls=self.tool_calls if complete and self.tool_calls is not None else UNSET,
                    token_count=self.token_count if complete and self.token_count is not None else UNSET,
                    metadata=self.metadata if complete and self.metadata is not None else UNSET,
                )
            except Conflict as conflict:
                if conflict.length is None or attempt == 2:
                    raise
                self._message = yield _operations.get_message(self._conversation_id, self.id)
                stored = self._message.content
                if not isinstance(stored, str) or not text.startswith(stored):
                    raise
                self._stored = len(stored)
            else:
                self._stored = len(text)
                break
        self._waiting = len(text) - self._stored
        self._failures = 0
        self._next_flush = time.monotonic() + self._flush_seconds


class Reply(_Writer):
    """A reply that is stored while a model writes it. `Client.stream_reply` makes it.

    >>> with client.stream_reply(conversation.id) as reply:
    ...     reply.write("It is ")
    ...     reply.flush()
    ...     reply.write("raining.")
    >>> reply.message.content
    'It is raining.'
    """

    def __init__(self, run: _Run, stream: Stream) -> None:
        super().__init__(stream)
        self._run = run

    def write(self, text: str) -> None:
        """Adds text. It is stored now or with a later `write`, `flush` or the block's end."""
        if self._put(text):
            try:
                self._drive(self._store(), patience=_PATIENCE)
            except _PASSING as error:
                self._failed(error)

    def flush(self) -> None:
        """Stores what was written, for example before the model waits for a tool. It is retried like any write, and raises."""
        self._check_open()
        self._drive(self._store())

    def __enter__(self) -> Self:
        if self._message is not None:
            raise RuntimeError("a reply is streamed once")
        self._drive(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        if error is None:
            self._drive(self._store(complete=True))
            return
        if isinstance(error, Cancelled):
            return
        try:
            self._drive(self._store(), patience=_PATIENCE)
        except Exception as failure:
            # The block's own exception says more than this one.
            self._failed(failure)

    def _drive(self, steps: Steps, *, patience: float | None = None) -> None:
        try:
            operation = next(steps)
            while True:
                try:
                    message = self._run(operation, patience=patience)
                except Conflict as conflict:  # noqa: PERF203
                    operation = steps.throw(conflict)
                else:
                    operation = steps.send(message)
        except StopIteration:
            pass


# The event loop itself keeps only weak references to its tasks.
_STORING: set[asyncio.Task[None]] = set()


class AsyncReply(_Writer):
    """A reply that is stored while a model writes it. `AsyncClient.stream_reply` makes it.

    >>> async def main():
    ...     async with AsyncClient(server_url) as client, client.stream_reply(conversation.id) as reply:
    ...         await reply.write("It is ")
    ...         await reply.flush()
    ...         await reply.write("raining.")
    ...     return reply.message.content
    >>> asyncio.run(main())
    'It is raining.'
    """

    def __init__(self, run: _AsyncRun, stream: Stream) -> None:
        super().__init__(stream)
        self._run = run

    async def write(self, text: str) -> None:
        """Adds text. It is stored now or with a later `write`, `flush` or the block's end."""
        if self._put(text):
            try:
                await self._drive(self._store(), patience=_PATIENCE)
            except _PASSING as error:
                self._failed(error)

    async def flush(self) -> None:
        """Stores what was written, for example before the model waits for a tool. It is retried like any write, and raises."""
        self._check_open()
        await self._drive(self._store())

    async def __aenter__(self) -> Self:
        if self._message is not None:
            raise RuntimeError("a reply is streamed once")
        await self._drive(self._begin())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        if error is None:
            await self._drive(self._store(complete=True))
            return
        if isinstance(error, Cancelled):
            return
        # A task of its own, because some frameworks cancel each `await` of a block that is cancelled. A second cancellation ends the
        # waiting, and the text is still stored.
        task = asyncio.get_running_loop().create_task(self._store_after_failure())
        _STORING.add(task)
        task.add_done_callback(_STORING.discard)
        await asyncio.shield(task)

    async def _store_after_failure(self) -> None:
        try:
            await self._drive(self._store(), patience=_PATIENCE)
        except Exception as failure:
            # The block's own exception says more than this one.
            self._failed(failure)

    async def _drive(self, steps: Steps, *, patience: float | None = None) -> None:
        try:
            operation = next(steps)
            while True:
                try:
                    message = await self._run(operation, patience=patience)
                except Conflict as conflict:  # noqa: PERF203
                    operation = steps.throw(conflict)
                else:
                    operation = steps.send(message)
        except StopIteration:
            pass
