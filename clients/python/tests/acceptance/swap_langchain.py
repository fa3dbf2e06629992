"""A pytest plugin for LangChain's own tests: their chat histories become Scrollback's, each in a new conversation."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from scrollback import AsyncClient, Client, new_id
from scrollback.langchain import ScrollbackChatMessageHistory

URL = os.environ["SCROLLBACK_TEST_URL"]
CLIENT, ASYNC_CLIENT = Client(URL), AsyncClient(URL)


class History(ScrollbackChatMessageHistory):
    """As `InMemoryChatMessageHistory`: it may begin with messages, and is equal to one with the same messages."""

    def __init__(self, messages: Sequence[BaseMessage] = ()) -> None:
        super().__init__(new_id(), CLIENT, user_id="ada", async_client=ASYNC_CLIENT)
        if messages:
            self.add_messages(messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.messages == other.messages

    __hash__ = None  # type: ignore[assignment]


class TableHistory(ScrollbackChatMessageHistory):
    """As `PostgresChatMessageHistory`: a session of a table."""

    def __init__(
        self, table_name: str, session_id: str, /, *, sync_connection: Any = None, async_connection: Any = None
    ) -> None:
        asynchronous = ASYNC_CLIENT if async_connection is not None else None
        super().__init__(f"{table_name} {session_id}", CLIENT, user_id="ada", async_client=asynchronous)

    @staticmethod
    def drop_table(connection: object, table_name: str, /) -> None: ...
    @staticmethod
    def create_tables(connection: object, table_name: str, /) -> None: ...
    @staticmethod
    async def adrop_table(connection: object, table_name: str, /) -> None: ...
    @staticmethod
    async def acreate_tables(connection: object, table_name: str, /) -> None: ...


@contextmanager
def syncpg_client() -> Iterator[object]:
    yield object()


@asynccontextmanager
async def asyncpg_client() -> AsyncIterator[object]:
    yield object()


def _module(name: str, **members: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module


if os.environ["SCROLLBACK_SUITE"] == "langchain-postgres":
    # The tests of langchain-postgres import their subject and a database connection. Both are not installed.
    _module("langchain_postgres")
    _module("langchain_postgres.chat_message_histories", PostgresChatMessageHistory=TableHistory)
    _module("tests.utils", syncpg_client=syncpg_client, asyncpg_client=asyncpg_client)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for module in {item.module for item in items}:
        if hasattr(module, "InMemoryChatMessageHistory"):
            module.InMemoryChatMessageHistory = History
