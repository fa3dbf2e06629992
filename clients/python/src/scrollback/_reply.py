"""A reply that is stored while a model writes it, and the reader of one.

`_Writer` decides what is sent when. It has generators of operations, so both kinds of reply share it. A thread or a task stores what waits
while the model is silent.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from . import _operations
from ._exchange import check_seconds, drive, drive_async
from ._ids import new_id
from ._operations import UNSET, Id, Unset
from .errors import (
    BadRequest,
    Cancelled,
    Conflict,
    NoResponse,
    NotModified,
    PayloadTooLarge,
    ScrollbackError,
    ServerError,
    TooManyRequests,
)
from .models import Message, Turn

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ._exchange import Operation, Series
    from .models import Role, Status, ToolCalls

__all__ = ["AsyncFollowing", "AsyncReply", "Following", "Reply"]

T = TypeVar("T")

log = logging.getLogger("scrollback")

# A piece that meets one of these is sent again with the next piece.
_PASSING = (NoResponse, ServerError, TooManyRequests)

# While the model writes, one attempt to store a piece takes so many seconds at most: the model's output waits meanwhile. After an
# exception, the rest has as many seconds, and more attempts.
_PATIENCE = 5.0
_LAST_ATTEMPTS = 5

# A reply that nobody touches for 60 seconds is `incomplete`. So after so many seconds, a silent one is touched.
_BEAT = 20.0

# What the API takes of one content, less a note.
_LARGEST = (1 << 20) - 100

# What the API refuses in a text.
_REFUSED = re.compile("[\0\ud800-\udfff]")

# For so many seconds, a request of a reader waits for something new: as long as the API lets it.
_WAIT = 20

# After failures, the next attempt comes so many seconds later at most.
_LONGEST_PAUSE = 10.0


class _Run(Protocol):
    def __call__(self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None) -> T: ...


class _AsyncRun(Protocol):
    def __call__(
        self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None
    ) -> Coroutine[Any, Any, T]: ...


@dataclass(frozen=True)
class Stream:
    """What a reply is told: where it begins, and when it stores text."""

    conversation_id: Id
    id: Id
    beginning: Operation[Message] | Message
    flush_seconds: float
    flush_characters: int


def stream_reply(
    conversation_id: Id | Turn,
    *,
    role: Role | str = "assistant",
    id: Id | None = None,  # noqa: A002
    name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    from_: int | None = None,
    parent_id: Id | Unset | None = UNSET,
    if_match: str | None = None,
    flush_seconds: float = 0.5,
    flush_characters: int = 2000,
) -> Stream:
    """Stores a reply while a model writes it, so that readers see it grow and a crash loses little of it.

    Args:
        conversation_id: the conversation, or a turn that has the place for the reply. Then the block begins without a request, and only the
            last two of these parameters may be given.
        role: who speaks.
        id: the message's id. Without it, the client makes one.
        name: the speaker's name.
        metadata: your own data about the message, stored with its beginning.
        from_: replace the message at this position and all after it: a reply that is generated anew.
        parent_id: the reply follows this message, and an earlier reply is kept as another version. See `add_message`.
        if_match: begin only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.
        flush_seconds: text that has waited so long is stored.
        flush_characters: that many characters are stored at once.

    The block begins with an empty message whose status is `in_progress`. `write` takes text, and it is stored from time to time: by
    `write`, or in the background if the model is silent. `flush` stores it at once. While nothing is written, the reply is kept alive, so
    it may wait for a slow tool.

    The end of the block stores the rest and makes the message `complete`. Set `reply.tool_calls`, `reply.token_count` or `reply.metadata`
    inside of the block, and they are stored with it. An error of this last write is raised.

    `reply.stop()` ends the reply as `cancelled`: the user has read what is there, and contexts have it. So does a task that is cancelled, a
    generator that is closed, or Ctrl-C. If the block ends with another exception, what was written is stored and the message stays
    `in_progress`. After 60 seconds it is `incomplete`, and contexts leave it out.

    A piece that the server does not take within 5 seconds is sent again with the next piece, so a short failure does not end the reply.
    `Conflict` is raised if somebody else has written into the message. The reply of a turn that is begun again may have some text already:
    text that begins in the same way goes on behind it, and another text is a `Conflict`.

    `Cancelled` is raised if a reader has stopped the reply with `cancel_reply`: by the next `write`, `flush` or the end of the block. It is
    the sign to stop the model. `reply.stopped` says the same without an exception, while the model waits for a tool.

    U+0000 and half surrogate pairs, which the API refuses, are stored as U+FFFD. A reply has 1 MiB at most. The rest of a longer one is
    cut, and a note at its end says so.

    >>> with client.stream_reply(conversation.id) as reply:
    ...     for piece in ("It is ", "raining."):
    ...         reply.write(piece)
    >>> reply.message.content, reply.message.status
    ('It is raining.', 'complete')
    """
    check_seconds("flush_seconds", flush_seconds, zero=True)
    if isinstance(conversation_id, Turn):
        begun = conversation_id.reply
        if begun is None:
            raise ValueError("the turn has no reply: begin it with reply_id=True")
        placed = parent_id is not UNSET
        if placed or role != "assistant" or any(each is not None for each in (id, name, metadata, from_, if_match)):
            raise ValueError(
                "the reply of a turn is stored already: only flush_seconds and flush_characters may be given"
            )
        return Stream(begun.conversation_id, begun.id, begun, flush_seconds, flush_characters)
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
        parent_id=parent_id,
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
        self._had_text = isinstance(stream.beginning, Message) and bool(stream.beginning.content)
        self._flush_seconds = stream.flush_seconds
        self._flush_characters = stream.flush_characters
        # For the text, which the block's thread adds to and another one may send.
        self._changed = threading.Condition()
        # The text is joined when it is sent, because joining it at each write would take quadratic time.
        self._text = ""
        self._unjoined: list[str] = []
        self._length = 0
        self._bytes = 0
        self._cut = 0
        # The first half of a surrogate pair waits for the other one.
        self._half = ""
        # How many characters are stored, as far as an answer has said so.
        self._stored = 0
        self._failures = 0
        self._next_flush = 0.0
        self._next_beat = 0.0
        self._message: Message | None = None
        self._ended = False
        self._stopped = False
        # What the background has met, for the next call of the block.
        self._failure: Exception | None = None

    @property
    def text(self) -> str:
        """What was written so far."""
        with self._changed:
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

    @property
    def stopped(self) -> bool:
        """Whether the reply was stopped: by `stop`, or by a reader. It is noticed when text is stored, and each 20 seconds."""
        return self._stopped or isinstance(self._failure, Cancelled)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={str(self.id)!r}, characters={self._length}, stored={self._stored})"

    def _check_open(self) -> None:
        if self._message is None or self._ended:
            raise RuntimeError("a reply is written inside of its block, and before it is stopped")
        if self._failure is not None:
            raise self._failure

    def _put(self, text: str, *, last: bool = False) -> bool:
        """Takes a piece. True if it is the first one that waits."""
        if self._half or _REFUSED.search(text):
            text = self._half + text
            self._half = text[-1] if not last and "\ud800" <= text[-1:] <= "\udbff" else ""
            text = text.removesuffix(self._half).replace("\0", "\ufffd")
            # Two halves that came one after the other are a character.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        size = len(text) if text.isascii() else len(text.encode())
        if self._cut or self._bytes + size > _LARGEST:
            self._cut += len(text)
            return False
        if not text:
            return False
        with self._changed:
            first = self._length == self._stored
            self._unjoined.append(text)
            self._length += len(text)
            self._bytes += size
            return first

    def _end(self) -> None:
        """The text is whole."""
        self._ended = True
        self._put("", last=True)
        if self._cut:
            with self._changed:
                note = f"\n[cut: {self._length:,} of {self._length + self._cut:,} characters are stored]"
                self._unjoined.append(note)
                self._length += len(note)

    def _needs_end(self, status: Status | None) -> bool:
        """Whether the end has to be stored. It has not if a reader has stopped the reply."""
        if self._failure is not None and (status == "complete" or not self.stopped):
            raise self._failure
        return not self.stopped

    def _pause(self) -> float:
        """After how many seconds it is time to send what waits, or an empty piece."""
        if self._ended:
            return 0
        waiting = self._length > self._stored
        return max(0, (self._next_flush if self._failures or waiting else self._next_beat) - time.monotonic())

    def _is_idle(self) -> bool:
        """Whether the background has nothing to send, for example because the block has just sent it."""
        return self._ended or self._pause() > 0

    def _is_due(self) -> bool:
        """Whether a `write` has to send."""
        waiting = self._length - self._stored
        full = not self._failures and waiting >= self._flush_characters
        return waiting > 0 and (full or self._pause() == 0)

    def _begin(self) -> Series[None]:
        self._message = self._beginning if isinstance(self._beginning, Message) else (yield self._beginning)
        self._sent()

    def _sent(self) -> None:
        now = time.monotonic()
        self._failures = 0
        self._next_flush, self._next_beat = now + self._flush_seconds, now + _BEAT

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        pause = min(_LONGEST_PAUSE, self._flush_seconds * 2.0 ** min(self._failures, 16))
        self._next_flush = time.monotonic() + pause
        log.debug("stream-reply: a piece was not stored (%s); it is sent with the next one", type(error).__name__)

    def _store(self, status: Status | None = None) -> Series[None]:
        """Sends what is not stored yet, or an empty piece if it is time, which keeps a silent reply alive.

        A piece whose answer was lost may be stored. The next piece then begins too early, and the conflict says how long the content is. If
        the content is the beginning of this reply's text, the rest follows it. Otherwise somebody else has written there.

        A reply that had some text before may be ahead. The API takes a piece that is there already. An empty one goes to the end.
        """
        text = self.text
        more: dict[str, Any] = {}
        if status == "complete":
            known = {"tool_calls": self.tool_calls, "token_count": self.token_count, "metadata": self.metadata}
            more = {name: value for name, value in known.items() if value is not None}
        # A rest may be shortened by the conflict of an attempt that was lost before. More than that is another writer.
        attempt = 0
        ahead = 0
        while True:
            piece = text[self._stored :]
            if not piece and status is None and time.monotonic() < self._next_beat:
                return
            # The end says where it is, if there may be more behind it.
            has_place = piece or status is None or (status == "complete" and self._had_text)
            append: dict[str, Any] = {"append": piece, "at": ahead or self._stored} if has_place else {}
            try:
                self._message = yield _operations.update_message(
                    self._conversation_id, self.id, **append, status=status, **more
                )
                break
            except Cancelled:
                self._stopped = True
                with suppress(ScrollbackError):
                    self._message = yield _operations.get_message(self._conversation_id, self.id)
                if status == "cancelled":
                    break
                raise
            except Conflict as conflict:
                attempt += 1
                if conflict.length is None or attempt == 3:
                    raise
                self._message = yield _operations.get_message(self._conversation_id, self.id)
                stored = self._message.content
                if not isinstance(stored, str):
                    raise
                if not piece and status is None and self._had_text and stored.startswith(text):
                    ahead = len(stored)
                    continue
                if not text.startswith(stored):
                    raise
                self._stored = len(stored)
            except (BadRequest, PayloadTooLarge):
                if not more:
                    raise
                # The answer is kept, without what the API refuses.
                yield _operations.update_message(self._conversation_id, self.id, **append, status=status)
                raise
        if status == "complete" and self._had_text and self.message.content != text:
            raise Conflict("the reply has more text than this, from another writer", status=409, code="conflict")
        self._stored = len(text)
        self._sent()


# A model that is stopped by these was stopped for the user, who has read what is there.
_STOPS = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt)


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
        # Requests are sent one after the other.
        self._sending = threading.Lock()
        self._background = threading.Thread(target=self._watch, name="scrollback-reply", daemon=True)

    def write(self, text: str) -> None:
        """Adds text. It is stored now, by the background, or with a later `write`, `flush` or the block's end."""
        self._check_open()
        if self._put(text):
            with self._changed:
                self._changed.notify()
        if self._is_due() and self._sending.acquire(blocking=False):
            try:
                self._attempt()
            finally:
                self._sending.release()

    def flush(self) -> None:
        """Stores what was written, for example before the model waits for a tool. It is retried like any write, and raises."""
        self._check_open()
        with self._sending:
            drive(self._run, self._store())

    def stop(self) -> None:
        """Ends the reply as `cancelled`, with what was written: the user has stopped it. Contexts have it, and nothing can follow."""
        if not self.stopped:
            self._check_open()
        self._close("cancelled")

    def __enter__(self) -> Self:
        if self._message is not None:
            raise RuntimeError("a reply is streamed once")
        drive(self._run, self._begin())
        self._background.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is None:
            self._close("complete")
            return
        try:
            self._close("cancelled" if isinstance(error, _STOPS) else None, patience=(_PATIENCE, _LAST_ATTEMPTS))
        except Exception as failure:
            # The block's own exception says more than this one.
            self._failed(failure)

    def _attempt(self) -> None:
        """One attempt, after which a piece that was not stored waits for the next one."""
        try:
            drive(partial(self._run, patience=(_PATIENCE, 1)), self._store())
        except _PASSING as error:
            self._failed(error)

    def _close(self, status: Status | None, *, patience: tuple[float, int] | None = None) -> None:
        with self._changed:
            self._end()
            self._changed.notify()
        try:
            with self._sending:
                if self._needs_end(status):
                    drive(partial(self._run, patience=patience), self._store(status))
                    self._stopped = self._stopped or status == "cancelled"
        finally:
            self._background.join()

    def _watch(self) -> None:
        """Stores what waits while the block is silent."""
        while not self._ended:
            with self._changed:
                while (pause := self._pause()) > 0:
                    self._changed.wait(pause)
            with self._sending:
                if self._is_idle():
                    continue
                try:
                    self._attempt()
                except Exception as error:
                    self._failure = error
                    return


# The event loop itself keeps only weak references to its tasks.
_TASKS: set[asyncio.Task[None]] = set()


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
    return task


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
        # Requests are sent one after the other.
        self._sending = asyncio.Lock()
        self._woken = asyncio.Event()
        self._background: asyncio.Task[None] | None = None

    async def write(self, text: str) -> None:
        """Adds text. It is stored now, by the background, or with a later `write`, `flush` or the block's end."""
        self._check_open()
        if self._put(text):
            self._woken.set()
        if self._is_due() and not self._sending.locked():
            async with self._sending:
                await self._attempt()

    async def flush(self) -> None:
        """Stores what was written, for example before the model waits for a tool. It is retried like any write, and raises."""
        self._check_open()
        async with self._sending:
            await drive_async(self._run, self._store())

    async def stop(self) -> None:
        """Ends the reply as `cancelled`, with what was written: the user has stopped it. Contexts have it, and nothing can follow."""
        if not self.stopped:
            self._check_open()
        await self._close("cancelled")

    async def __aenter__(self) -> Self:
        if self._message is not None:
            raise RuntimeError("a reply is streamed once")
        await drive_async(self._run, self._begin())
        self._background = _task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is None:
            await self._close("complete")
            return
        # A task of its own, because some frameworks cancel each `await` of a block that is cancelled. A second cancellation ends the
        # waiting, and the text is still stored.
        await asyncio.shield(_task(self._close_after(error)))

    async def _close_after(self, error: BaseException) -> None:
        try:
            await self._close("cancelled" if isinstance(error, _STOPS) else None, patience=(_PATIENCE, _LAST_ATTEMPTS))
        except Exception as failure:
            # The block's own exception says more than this one.
            self._failed(failure)

    async def _attempt(self) -> None:
        """One attempt, after which a piece that was not stored waits for the next one."""
        try:
            await drive_async(partial(self._run, patience=(_PATIENCE, 1)), self._store())
        except _PASSING as error:
            self._failed(error)

    async def _close(self, status: Status | None, *, patience: tuple[float, int] | None = None) -> None:
        self._end()
        self._woken.set()
        async with self._sending:
            if self._needs_end(status):
                await drive_async(partial(self._run, patience=patience), self._store(status))
                self._stopped = self._stopped or status == "cancelled"

    async def _watch(self) -> None:
        """Stores what waits while the block is silent."""
        while not self._ended:
            if (pause := self._pause()) > 0:
                self._woken.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause)
                continue
            async with self._sending:
                if self._is_idle():
                    continue
                try:
                    await self._attempt()
                except Exception as error:
                    self._failure = error
                    return


@dataclass(frozen=True)
class Reading:
    """What a reader is told: which reply, and what it has of it."""

    conversation_id: Id
    id: Id
    skip: int
    interval: float


def follow_reply(conversation_id: Id, message_id: Id, *, skip: int = 0, interval: float = 0.2) -> Reading:
    """Reads a reply while it is written: iterating gives its text, piece by piece, until the reply ends.

    Args:
        conversation_id: the conversation.
        message_id: the reply. A message that is complete already gives its text at once.
        skip: how many characters of the text the caller has already.
        interval: so many seconds lie between the beginnings of two requests, at least. A request waits for the next piece.

    The reply ends when its status is `complete` or `cancelled`, or `incomplete` because its writer is lost. Afterwards, `message` is the
    message as it ended, with the `content` that the last answer had. `NotFound` is raised if the reply is deleted.

    Content parts are not text. A reply that has some gives no pieces.

    >>> with client.stream_reply(conversation.id) as reply:
    ...     reply.write("It is raining.")
    >>> following = client.follow_reply(conversation.id, reply.id, skip=6)
    >>> list(following), following.message.status
    (['raining.'], 'complete')
    """
    check_seconds("interval", interval, zero=True)
    if isinstance(skip, bool) or not isinstance(skip, int):
        raise TypeError(f"skip must be a whole number, and not {type(skip).__name__}")
    if skip < 0:
        raise ValueError("skip must be 0 or more")
    return Reading(conversation_id, message_id, skip, interval)


class _Reader:
    """How much of a reply is read."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._message: Message | None = None

    @property
    def message(self) -> Message:
        """The message, as the latest answer had it. Its content is only what was new."""
        if self._message is None:
            raise RuntimeError("the reply has no message before it is read")
        return self._message

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={str(self._reading.id)!r})"


class _Reads:
    """One iteration over a reply: which request is next, and what its answer says."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._length = reading.skip
        self._version: str | None = None
        self._next = 0.0

    def pause(self) -> float:
        """After how many seconds the next request begins."""
        return max(0.0, self._next - time.monotonic())

    def request(self) -> Operation[Message]:
        self._next = time.monotonic() + self._reading.interval
        reading = self._reading
        # The API refuses a number of characters for content parts, also 0.
        return _operations.get_message(
            reading.conversation_id,
            reading.id,
            skip=self._length or None,
            wait=_WAIT,
            if_none_match=self._version,
        )

    def piece(self, message: Message) -> str:
        """What is new."""
        self._version = message.version
        text = message.content if isinstance(message.content, str) else ""
        self._length += len(text)
        return text


class Following(_Reader):
    """A reply that is read while it is written. `Client.follow_reply` makes it. Iterating again reads it again.

    >>> reply = client.add_message(conversation.id, "assistant", "It is raining.")
    >>> "".join(client.follow_reply(conversation.id, reply.id))
    'It is raining.'
    """

    def __init__(self, run: _Run, reading: Reading) -> None:
        super().__init__(reading)
        self._run = run

    def __iter__(self) -> Iterator[str]:
        reads = _Reads(self._reading)
        while True:
            time.sleep(reads.pause())
            try:
                message = self._message = self._run(reads.request())
            except NotModified:
                continue
            if piece := reads.piece(message):
                yield piece
            if message.status != "in_progress":
                return


class AsyncFollowing(_Reader):
    """A reply that is read while it is written. `AsyncClient.follow_reply` makes it. Iterating again reads it again.

    >>> async def main(reply):
    ...     async with AsyncClient(server_url) as client:
    ...         return [piece async for piece in client.follow_reply(conversation.id, reply.id)]
    >>> asyncio.run(main(client.add_message(conversation.id, "assistant", "It is raining.")))
    ['It is raining.']
    """

    def __init__(self, run: _AsyncRun, reading: Reading) -> None:
        super().__init__(reading)
        self._run = run

    async def __aiter__(self) -> AsyncIterator[str]:
        reads = _Reads(self._reading)
        while True:
            await asyncio.sleep(reads.pause())
            try:
                message = self._message = await self._run(reads.request())
            except NotModified:
                continue
            if piece := reads.piece(message):
                yield piece
            if message.status != "in_progress":
                return
