"""A pytest plugin for the Agents SDK's own tests: its sessions become Scrollback's. Each database becomes a user."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import agents
import agents.memory

# `encrypt_session` is imported before the swap: it treats a `SQLiteSession` of the SDK in a way of its own.
from agents.extensions.memory import async_sqlite_session, encrypt_session, redis_session, sqlalchemy_session  # noqa: F401
from agents.items import TResponseInputItem
from agents.memory import sqlite_session

from scrollback import AsyncClient, Client, new_id
from scrollback.agents import ScrollbackSession, from_item

URL = os.environ["SCROLLBACK_TEST_URL"]
CLIENT = AsyncClient(URL)
# The tests of another run have other users.
RUN = new_id()


def user(database: object) -> str:
    name = str(database)
    return f"{RUN} {new_id() if ':memory:' in name else name}"


class AsyncSQLiteSession(ScrollbackSession):
    def __init__(self, session_id: str, db_path: str | Path = ":memory:", *tables: str, **settings: Any) -> None:
        super().__init__(session_id, CLIENT, user_id=user((db_path, tables)), **settings)
        self.db_path = db_path


class SQLiteSession(ScrollbackSession):
    def __init__(self, session_id: str, db_path: str | Path = ":memory:", *tables: str, **settings: Any) -> None:
        super().__init__(session_id, CLIENT, user_id=user((db_path, tables)), **settings)
        self.db_path = db_path

    def close(self) -> None:  # type: ignore[override]
        self._closed = True


class Engine:
    """What the tests close at their end."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __str__(self) -> str:
        return self.url

    async def dispose(self) -> None: ...


class SQLAlchemySession(ScrollbackSession):
    def __init__(self, session_id: str, *, engine: Any, create_tables: bool = False, **settings: Any) -> None:
        settings.pop("ensure_ascii", None)
        super().__init__(
            session_id, CLIENT, user_id=user(engine if isinstance(engine, Engine) else id(engine)), **settings
        )
        self.engine = engine

    @classmethod
    def from_url(cls, session_id: str, *, url: str, engine_kwargs: Any = None, **settings: Any) -> SQLAlchemySession:
        return cls(session_id, engine=Engine(url), **settings)


class RedisSession(ScrollbackSession):
    def __init__(
        self, session_id: str, *, redis_client: Any, key_prefix: str = "", ttl: int | None = None, **settings: Any
    ) -> None:
        super().__init__(session_id, CLIENT, user_id=user((id(redis_client), key_prefix)), **settings)

    @classmethod
    def from_url(cls, session_id: str, *, url: str, redis_kwargs: Any = None, **settings: Any) -> RedisSession:
        return cls(session_id, redis_client=url, **settings)


class SimpleListSession(ScrollbackSession):
    """It may begin with a history, and shows what it has stored."""

    def __init__(self, session_id: str = "test", history: Sequence[TResponseInputItem] | None = None) -> None:
        super().__init__(session_id, CLIENT, user_id=user(new_id()))
        self._ignore_ids_for_matching = False
        with Client(URL) as client:
            client.get_or_create_conversation(self._conversation._user_id, id=self.conversation_id)
            if history:
                client.add_messages(self.conversation_id, [from_item(item) for item in history])

    @property
    def saved_items(self) -> list[TResponseInputItem]:
        from scrollback.agents import to_items

        with Client(URL) as client:
            return [item for message in client.get_chat_history(self.conversation_id) for item in to_items(message)]

    _items = saved_items


def pytest_configure() -> None:
    for module in (agents, agents.memory, sqlite_session):
        module.SQLiteSession = SQLiteSession  # type: ignore[misc, attr-defined]
    async_sqlite_session.AsyncSQLiteSession = AsyncSQLiteSession  # type: ignore[misc, assignment]
    sqlalchemy_session.SQLAlchemySession = SQLAlchemySession  # type: ignore[misc, assignment]
    redis_session.RedisSession = RedisSession  # type: ignore[misc, assignment]


def pytest_sessionstart() -> None:
    # The tests' own session in memory. Two others are derived from it, so it is swapped while the module is read.
    spec = importlib.util.find_spec("tests.utils.simple_session")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text().replace("class SimpleListSession(", "class Original(")
    module = importlib.util.module_from_spec(spec)
    vars(module)["SimpleListSession"] = SimpleListSession
    exec(compile(source, spec.origin, "exec"), vars(module))  # noqa: S102
    sys.modules[spec.name] = module
