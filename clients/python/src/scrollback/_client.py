"""The two clients. Both run the operations of `_operations` through `_exchange`, and differ only in how they send and wait.

`_methods` has their methods.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import ipaddress
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import httpx

from ._exchange import Answer, Lost, Operation, Outcome, Retry, Send, Sleep, Steps, check_seconds, exchange
from ._methods import AsyncMethods, Methods

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["AsyncClient", "Client", "Token"]

T = TypeVar("T")

Token: TypeAlias = str | Callable[[], str]
"""A bearer token, or a function that returns the current one. The function is called for each attempt."""

AsyncToken: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""Like `Token`. The function may be asynchronous."""

# How long opening a connection may take, in seconds. A server that does not answer that fast is better tried again.
_CONNECT = 5.0


class _LoggedURL(httpx.URL):
    """A URL that is logged without its path and query. httpx logs each request's URL, and ours hold user ids and what is searched for."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode('ascii')}/..."

    __repr__ = __str__


class _Settings:
    """What both clients are told: where the API is, and how to ask it."""

    def __init__(
        self, base_url: str, token: object, timeout: float, retry: Retry | None, verify: ssl.SSLContext | None
    ) -> None:
        check_seconds("timeout", timeout)
        if not (token is None or isinstance(token, str) or callable(token)):
            raise TypeError(f"token must be a text or a function, and not {type(token).__name__}")
        if not (retry is None or isinstance(retry, Retry)):
            raise TypeError(f"retry must be a Retry, and not {type(retry).__name__}")
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise ValueError(f"base_url is not a URL: {error}") from None
        except TypeError:
            raise TypeError(f"base_url must be a text, and not {type(base_url).__name__}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("base_url must be an http or https URL, such as http://127.0.0.1:9000")
        if url.userinfo or url.query or url.fragment:
            raise ValueError("base_url must have no user name, query or fragment")
        self.origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        self.prefix = url.raw_path.decode("ascii").rstrip("/")
        self.hint = "; is `cargo dev` running?" if _is_loopback(url.host) else ""
        self.timeout = timeout
        self.retry = retry if retry is not None else Retry()
        self.verify = verify

    @functools.cached_property
    def tls(self) -> ssl.SSLContext:
        # Reading the certificates takes tens of milliseconds, so it is done once.
        return self.verify if self.verify is not None else httpx.create_ssl_context()

    def request(self, step: Send, token: str | None) -> httpx.Request:
        operation = step.operation
        headers = {"accept": "application/json", "user-agent": "scrollback-client"}
        if operation.body is not None:
            headers["content-type"] = "application/json"
        headers.update(operation.headers)
        if token is not None:
            # An exception about a header that cannot be sent would hold the token, so the token is checked here.
            if not (token.isascii() and token.isprintable() and token.strip() == token):
                raise ValueError("the token must be a text of printable ASCII characters, without spaces around it")
            headers["authorization"] = f"Bearer {token}"
        # A link to the next page has the prefix already, if the server knows of it.
        known = self.prefix and operation.target.startswith(f"{self.prefix}/")
        target = operation.target if known else self.prefix + operation.target
        timeout = httpx.Timeout(step.timeout, connect=min(_CONNECT, step.timeout))
        request = httpx.Request(
            operation.method,
            self.origin + target,
            headers=headers,
            content=operation.body,
            extensions={"timeout": timeout.as_dict()},
        )
        request.url = _LoggedURL(request.url)
        return request

    def exchange(self, operation: Operation[T], patience: tuple[float, int] | None) -> Steps[T]:
        """The steps of an operation. With `patience`, it has so many seconds and attempts at most."""
        retry = self.retry if patience is None else self.retry.within(*patience)
        return exchange(operation, retry, self.timeout, self.origin + self.prefix, self.hint)

    def __repr__(self) -> str:
        return repr(self.origin + self.prefix)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, dict(response.headers), response.content)


def _lost(error: httpx.RequestError) -> Lost:
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        # These are mistakes in the request or the settings. Another attempt would meet them again.
        raise error
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
    return Lost(error, maybe_sent=not unsent)


class Client(Methods):
    """The API, for synchronous programs. One client can be shared by all threads.

    Args:
        base_url: where the API is, such as `http://127.0.0.1:9000` for `cargo dev`.
        token: a bearer token, or a function that returns the current one. The function is called for each attempt.
        timeout: the seconds that an attempt waits for the server.
        retry: how often and how long a failed request is sent again.
        verify: the TLS settings, for a server whose certificate the system does not trust.

    An argument that cannot be right is a `ValueError` or a `TypeError` here, and not at the first request.

    >>> with Client(server_url) as client:
    ...     conversation = client.get_or_create_conversation("grace")
    ...     message = client.add_message(conversation.id, "user", "Hello!")
    ...     [message.content for message in client.get_chat_history(conversation.id, last=1)]
    ['Hello!']
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = _Settings(base_url, token, timeout, retry, verify)
        self._token = token
        self._http = httpx.Client(verify=self._settings.tls)

    def close(self) -> None:
        """Closes the connections. The client cannot be used any more."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings!r})"

    def _run(self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None) -> T:
        if self._http.is_closed:
            raise RuntimeError("the client is closed")
        steps = self._settings.exchange(operation, patience)
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
                outcome = None
                continue
            token = self._token() if callable(self._token) else self._token
            if inspect.isawaitable(token):
                if inspect.iscoroutine(token):
                    token.close()
                raise TypeError("an asynchronous token function needs an AsyncClient")
            request = self._settings.request(step, token)
            try:
                outcome = _answer(self._http.send(request))
            except httpx.RequestError as error:
                outcome = _lost(error)


class AsyncClient(AsyncMethods):
    """The API, for asyncio. It has the methods of `Client`, to be awaited. Lists are read with `async for`.

    The client is not bound to an event loop: it keeps connections for each loop that uses it, and closes them when that loop ends. So one
    client can serve several calls of `asyncio.run`. The arguments are those of `Client`. `token` may be an asynchronous function, too.

    >>> async def main():
    ...     async with AsyncClient(server_url) as client:
    ...         conversation = await client.get_or_create_conversation("grace")
    ...         await client.add_message(conversation.id, "user", "Hello!")
    ...         return [message.content async for message in client.get_chat_history(conversation.id, last=1)]
    >>> asyncio.run(main())
    ['Hello!']
    """

    def __init__(
        self,
        base_url: str,
        token: AsyncToken | None = None,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        verify: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = _Settings(base_url, token, timeout, retry, verify)
        self._token = token
        self._closed = False
        self._lock = threading.Lock()
        self._loops: dict[asyncio.AbstractEventLoop, _LoopConnections] = {}

    async def aclose(self) -> None:
        """Closes this event loop's connections. The client cannot be used any more. Other loops close theirs when they end."""
        self._closed = True
        with self._lock:
            connections = self._loops.get(asyncio.get_running_loop())
        if connections is not None:
            await connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings!r})"

    async def _http(self) -> httpx.AsyncClient:
        """The running loop's connections. A connection works only in the loop that opened it."""
        if self._closed:
            raise RuntimeError("the client is closed")
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._loops.get(loop)
            if found is None:
                for other in [other for other in self._loops if other.is_closed()]:
                    del self._loops[other]
                found = self._loops[loop] = _LoopConnections(self._settings.tls, lambda: self._loops.pop(loop, None))
        await found.start()
        return found.http

    async def _run(self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None) -> T:
        steps = self._settings.exchange(operation, patience)
        outcome: Outcome = None
        while True:
            http = await self._http()
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
                outcome = None
                continue
            token = self._token() if callable(self._token) else self._token
            if inspect.isawaitable(token):
                token = await token
            try:
                outcome = _answer(await http.send(self._settings.request(step, token)))
            except httpx.RequestError as error:
                outcome = _lost(error)


class _LoopConnections:
    """The connections of one event loop, which are closed when the loop ends."""

    def __init__(self, tls: ssl.SSLContext, forget: Callable[[], object]) -> None:
        self.http = httpx.AsyncClient(verify=tls)
        self._forget = forget
        # `asyncio.run` finishes every asynchronous generator that its loop has started. This one closes the connections.
        self._until_end = self._wait_for_end()
        self._started = False

    async def _wait_for_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._forget()
            await self.http.aclose()

    async def start(self) -> None:
        if not self._started:
            self._started = True
            await anext(self._until_end)

    async def close(self) -> None:
        await self._until_end.aclose()
