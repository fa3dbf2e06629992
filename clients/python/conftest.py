"""The fixtures: a real server, which `cargo dev` runs, and clients of it."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import scrollback
from tests.proxy import Proxy, proxy_to

PACKAGE = Path(__file__).resolve().parent
PROJECT = PACKAGE.parents[1]

# What the acceptance tests found, printed at the end of the run.
RESULTS: list[str] = []

# The adapters are imported where their frameworks are installed: see tests/test_acceptance.py.
collect_ignore_glob = ["tests/acceptance/*"]
collect_ignore = [
    f"src/scrollback/{adapter}.py"
    for adapter, framework in (("langchain", "langchain_core"), ("agents", "agents"), ("pydantic_ai", "pydantic_ai"))
    if importlib.util.find_spec(framework) is None
]
# The docstrings are those of the functions that it was generated from.
collect_ignore.append("src/scrollback/_methods.py")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in RESULTS:
        terminalreporter.write_line(line)


@contextmanager
def cargo_dev(*options: str) -> Iterator[str]:
    """Runs the API on a database of its own, and gives its address. Afterwards, both are gone."""
    cargo = shutil.which("cargo")
    assert cargo, "the tests run the API with cargo, which is not installed"
    with tempfile.TemporaryFile("w+") as log:
        command = [cargo, "dev", "--temporary", "--port", "0", *options]
        server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if found := re.match(r"Scrollback serves (http:\S+) ", line):
                    break
            else:
                log.seek(0)
                pytest.fail(f"cargo dev did not start:\n{log.read()}")
            yield found.group(1)
        finally:
            # cargo becomes the server's process, so the signal reaches the server, which ends its own children.
            server.terminate()
            # The pipe is closed afterwards: the server may still print.
            server.wait(timeout=60)
            if server.stdout is not None:
                server.stdout.close()


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    if running := os.environ.get("SCROLLBACK_TEST_URL"):
        yield running
        return
    with cargo_dev() as address:
        yield address


@pytest.fixture(scope="session")
def guarded_url(server_url: str) -> Iterator[str]:
    with cargo_dev("--jwt") as address:
        yield address


def token_of(user: str, *options: str) -> str:
    command = ["cargo", "xtask", "token", user, *options]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def client(server_url: str) -> Iterator[scrollback.Client]:
    with scrollback.Client(server_url) as client:
        yield client


class EachCallInALoopOfItsOwn:
    """An `AsyncClient`, used like a `Client`: each call is a call of `asyncio.run`, so it has a new event loop."""

    def __init__(self, client: scrollback.AsyncClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if inspect.iscoroutinefunction(method):
                return asyncio.run(method(*args, **kwargs))
            return Pages(method(*args, **kwargs))

        return call


class Pages:
    def __init__(self, pages: scrollback.AsyncPages[Any]) -> None:
        self._pages = pages

    def all(self) -> list[Any]:
        return asyncio.run(self._pages.all())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.all())

    def first_page(self) -> scrollback.Page[Any]:
        return asyncio.run(self._pages.first_page())

    def pages(self) -> list[scrollback.Page[Any]]:
        async def collect() -> list[scrollback.Page[Any]]:
            return [page async for page in self._pages.pages()]

        return asyncio.run(collect())


Connect = Callable[..., Any]


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients of either kind, which take the same calls."""
    clients: list[scrollback.Client] = []

    def make(base_url: str, token: Any = None, **options: Any) -> Any:
        if request.param == "AsyncClient":
            return EachCallInALoopOfItsOwn(scrollback.AsyncClient(base_url, token, **options))
        clients.append(scrollback.Client(base_url, token, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def either(connect: Connect, server_url: str) -> Any:
    """A client of either kind."""
    return connect(server_url)


@pytest.fixture
def proxy(server_url: str) -> Iterator[Proxy]:
    with proxy_to(server_url) as proxy:
        yield proxy


@pytest.fixture
def conversation(client: scrollback.Client) -> scrollback.Conversation:
    return client.get_or_create_conversation("ada", new=True)


@pytest.fixture(autouse=True)
def examples(request: pytest.FixtureRequest) -> None:
    """Gives the docstrings' examples a client, a conversation and the package's names."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    names: dict[str, Any] = request.getfixturevalue("doctest_namespace")
    names.update({name: getattr(scrollback, name) for name in scrollback.__all__})
    for fixture in ("server_url", "client", "conversation"):
        names[fixture] = request.getfixturevalue(fixture)
    names["asyncio"] = asyncio
    # An example that is run again has nothing of the run before.
    names["user_id"] = f"user-{scrollback.new_id()}"
