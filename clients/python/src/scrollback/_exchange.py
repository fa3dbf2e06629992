"""Requests, responses and retries, without any input or output: both clients run the same code.

`exchange` is a generator. It yields what has to be done next (`Send` or `Sleep`), and the client sends back what came of it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

from .errors import Conflict, InvalidResponse, NoResponse, NotFound, ScrollbackError, class_for

T = TypeVar("T")

# A log line has the operation's name, a status and times. It has no URL, because a URL holds user ids and what is searched for.
log = logging.getLogger("scrollback")

RETRIED = frozenset({429, 500, 502, 503, 504})

# API Gateway answers 429 before any function runs, so nothing was done.
NOT_DONE = frozenset({429})


def check_seconds(name: str, value: object, *, zero: bool = False) -> None:
    """Refuses what is not a number of seconds.

    Raises:
        ValueError: the number is out of its range.
        TypeError: the value is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, and not {type(value).__name__}")
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise ValueError(f"{name} must be a number of seconds {'from 0' if zero else 'above 0'}, and not {value}")


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How a request is sent again after a connection error, or a 429, 500, 502, 503 or 504.

    The wait before the nth retry is random, between 0 and `base * 2 ** (n - 1)` seconds, and at most `cap`. After a response with
    `Retry-After`, that time is added.

    Attributes:
        attempts: how many times the request is sent at most.
        base: seconds.
        cap: seconds.
        deadline: seconds for all attempts and waits together. No attempt starts after it, and none waits longer than it for the server.

    Raises:
        ValueError: a number is out of its range.
        TypeError: a value is not a number.

    >>> with Client(server_url, retry=Retry(attempts=3, deadline=5)) as client:
    ...     client.get_conversation(conversation.id).message_count
    0
    """

    attempts: int = 6
    base: float = 0.1
    cap: float = 5.0
    deadline: float = 60.0

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise TypeError(f"attempts must be a whole number, and not {type(self.attempts).__name__}")
        if self.attempts < 1:
            raise ValueError("attempts must be 1 or more")
        check_seconds("base", self.base, zero=True)
        check_seconds("cap", self.cap, zero=True)
        check_seconds("deadline", self.deadline)

    def within(self, seconds: float, attempts: int) -> Retry:
        """So many attempts at most, which take so many seconds at most."""
        return replace(self, attempts=min(attempts, self.attempts), deadline=min(seconds, self.deadline))

    def wait(self, failures: int) -> float:
        """A random wait after so many failures, in seconds."""
        # 2.0 ** 1024 is an OverflowError, so the exponent has a limit.
        return random.uniform(0, min(self.cap, self.base * 2.0 ** min(failures - 1, 64)))  # noqa: S311


@dataclass(frozen=True)
class Answer:
    """A response that arrived whole. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def version(self) -> str | None:
        """The ETag."""
        return self.headers.get("etag")


@dataclass(frozen=True)
class Lost:
    """No response arrived. `maybe_sent` is false where the request cannot have reached the server."""

    cause: Exception
    maybe_sent: bool


_NOT_OURS = "the response is not one of Scrollback's; check the base URL"


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[T]):
    """One call of an endpoint: its request, and how its response is read.

    The body is made once, so that every attempt sends the same bytes.
    """

    name: str
    method: str
    target: str = field(repr=False)
    read: Callable[[Answer], T] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    # A rewind without a version would also delete what was appended between two attempts, so it is not sent again.
    repeatable: bool = True
    # After an attempt that may have deleted the conversation, a 404 means that it has.
    gone_is_done: bool = False
    # How many seconds the server may take in addition to the time of an attempt, because the call asks it to wait.
    wait: float = 0.0

    def result(self, answer: Answer, maybe_done: bool) -> T:
        """What the caller gets for a final response.

        Raises:
            ScrollbackError: the response is an error, or cannot be read.
        """
        success = 200 <= answer.status < 300
        error = None if success else problem(answer, maybe_done)
        if error is None or (self.gone_is_done and maybe_done and isinstance(error, NotFound)):
            try:
                return self.read(answer)
            except (ValueError, TypeError, KeyError, AttributeError):
                # The cause is dropped, because a parser's exception holds the text that it could not read.
                pass
            raise InvalidResponse(_NOT_OURS, status=answer.status)
        raise error


@dataclass(frozen=True)
class Send:
    """Send the operation's request, and wait so many seconds for the server."""

    operation: Operation[Any]
    timeout: float


@dataclass(frozen=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


Series: TypeAlias = Generator[Operation[Any], Any, T]
"""Requests, one after the other. Each one's result or error is sent back, and the generator returns the result of the call."""


def drive(run: Callable[[Operation[Any]], Any], series: Series[T]) -> T:
    """Runs a series with the function that runs an operation."""
    try:
        operation = next(series)
        while True:
            try:
                result = run(operation)
            except ScrollbackError as error:  # noqa: PERF203
                operation = series.throw(error)
            else:
                operation = series.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


async def drive_async(run: Callable[[Operation[Any]], Awaitable[Any]], series: Series[T]) -> T:
    """The same as `drive`, asynchronously."""
    try:
        operation = next(series)
        while True:
            try:
                result = await run(operation)
            except ScrollbackError as error:  # noqa: PERF203
                operation = series.throw(error)
            else:
                operation = series.send(result)
    except StopIteration as end:
        value: T = end.value
        return value


Outcome: TypeAlias = Answer | Lost | None
Steps: TypeAlias = Generator[Send | Sleep, Outcome, T]


def problem(answer: Answer, maybe_done: bool) -> ScrollbackError:
    """The exception for a response that is an error: a problem document, or API Gateway's `{"message": ...}`."""
    if answer.status == 304:
        return class_for(304, None)("nothing has changed since this version", status=304, code="not_modified")
    try:
        document = answer.json()
    except ValueError:
        document = None
    members = document if isinstance(document, dict) else {}

    def text(name: str) -> str | None:
        value = members.get(name)
        return value if isinstance(value, str) else None

    code = text("code")
    if answer.status == 404 and code is None:
        # Another server, or a gateway without such a route. To a program that reads, NotFound would be an empty history.
        return InvalidResponse(
            _NOT_OURS, status=404, request_id=answer.headers.get("apigw-requestid"), maybe_done=maybe_done
        )
    error = class_for(answer.status, code)(
        text("detail") or text("message") or "the server answered without saying why",
        status=answer.status,
        code=code,
        param=text("param"),
        request_id=text("request_id") or answer.headers.get("apigw-requestid"),
        maybe_done=maybe_done,
    )
    length = members.get("length")
    if isinstance(error, Conflict) and isinstance(length, int):
        error.length = length
    return error


def retry_after(answer: Answer) -> float:
    """The seconds that `Retry-After` asks for: a number or a date (RFC 9110). 0 without it."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - datetime.now(timezone.utc)).total_seconds())


def _cause(error: BaseException) -> str:
    """What went wrong with a connection, in the words of the operating system if it said some."""
    found: BaseException | None = error
    while found is not None and (not isinstance(found, OSError) or found.errno is None):
        # Several addresses that were tried at the same time are a group of exceptions.
        found = next(iter(getattr(found, "exceptions", ())), None) or found.__cause__ or found.__context__
    if found is None:
        return type(error).__name__
    # asyncio has words of its own, and the numbers of name resolution and TLS are no errno.
    special = isinstance(found, (socket.gaierror, ssl.SSLError))
    words = getattr(found, "verify_message", None) or (found.strerror if special else os.strerror(found.errno or 0))
    return f"{type(error).__name__}: {words}"


def exchange(operation: Operation[T], retry: Retry, timeout: float, place: str, hint: str = "") -> Steps[T]:
    """Sends an operation until it has a final answer, or until the attempts or the time are used up.

    `place` is the base URL, and `hint` is what to look at if no connection can be opened. Both are for the error's text.
    """
    writes = operation.method != "GET"
    maybe_done = False
    began = time.monotonic()
    for attempt in count(1):
        remaining = retry.deadline - (time.monotonic() - began)
        # An attempt always gets some time, also where the deadline was set to nothing.
        outcome = yield Send(operation, max(0.001, min(timeout + operation.wait, remaining)))
        if isinstance(outcome, Answer) and outcome.status not in RETRIED:
            return operation.result(outcome, maybe_done)

        wait = retry.wait(attempt)
        if isinstance(outcome, Answer):
            happened: object = outcome.status
            maybe_done = maybe_done or (writes and outcome.status not in NOT_DONE)
            wait += retry_after(outcome)
        else:
            assert isinstance(outcome, Lost)  # noqa: S101
            happened = type(outcome.cause).__name__
            maybe_done = maybe_done or (writes and outcome.maybe_sent)

        late = time.monotonic() - began + wait >= retry.deadline
        if attempt >= retry.attempts or late or (maybe_done and not operation.repeatable):
            if isinstance(outcome, Answer):
                raise problem(outcome, maybe_done)
            attempts = "1 attempt" if attempt == 1 else f"{attempt} attempts"
            raise NoResponse(
                f"no response from {place} after {attempts}: {_cause(outcome.cause)}{'' if outcome.maybe_sent else hint}",
                maybe_done=maybe_done,
            ) from outcome.cause
        log.debug("%s: attempt %d ended with %s; the next is in %.2f s", operation.name, attempt, happened, wait)
        yield Sleep(wait)
    raise AssertionError("unreachable")
