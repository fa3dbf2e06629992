"""A session of the OpenAI Agents SDK in Scrollback. Needs the extra `agents` of the package.

Items come back as they went in. Other programs and `get_context` can read what is stored: messages keep their role and content, calls and
their outputs are paired by `tool_call_id`. What no field of Scrollback has is in `metadata["openai"]`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from agents.memory import SessionSettings
from agents.memory.session import SessionABC
from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

from . import _operations
from ._adapters import Conversation, _size, escaped, fitted, is_said, opaque, restored, unescaped
from ._client import AsyncClient
from ._exchange import drive_async
from ._ids import new_id
from .errors import NotFound, PreconditionFailed
from .models import Conversation as Stored
from .models import Message, NewMessage, Page

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory.session import _CompactionSnapshot

__all__ = ["ScrollbackSession", "from_item", "to_items"]

T = TypeVar("T")

_ROLES = frozenset({"user", "assistant", "system", "developer"})

# Calls whose arguments are not one text, and their outputs. They are stored whole, and paired by `tool_call_id`.
_CALLS = frozenset({"computer_call", "shell_call", "local_shell_call", "apply_patch_call", "custom_tool_call"})
_OUTPUTS = frozenset(f"{call}_output" for call in _CALLS)

# What is ours in metadata, and the type of a content part that holds an item as a whole.
_NAME = "openai"

# The API reads so many of the newest messages with one request.
_LAST = 1000

# What is ours in a conversation's metadata, which has 16 KiB at most: so many bytes.
_BRANCHES = "openai_branches"
_MOST_BYTES_OF_BRANCHES = 8 << 10


def from_item(item: TResponseInputItem) -> NewMessage:
    """An item of the Agents SDK, to be stored with `add_messages`. What is too large for the API is cut, and a note says so.

    >>> from_item({"role": "user", "content": "Hello"}).content
    'Hello'
    """
    # As the sessions of the SDK store it. What is not JSON is a TypeError before anything is sent.
    plain = json.loads(json.dumps(item))
    if isinstance(plain, dict):
        readable = _readable(plain)
        if readable is not None and _operations.not_json([readable.content, readable.tool_calls]) is None:
            stored = escaped(readable)
            if _same(to_items(stored), [plain]):
                return fitted(stored)
    return fitted(escaped(opaque("assistant", "", _NAME, plain)))


def _same(one: object, other: object) -> bool:
    # As JSON, because True is 1 and 1 is 1.0 for Python.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _readable(item: dict[str, Any]) -> NewMessage | None:
    kind, role, content, call_id = item.get("type"), item.get("role"), item.get("content"), item.get("call_id")

    def rest(*taken: str) -> dict[str, Any]:
        return {_NAME: {"item": {name: value for name, value in item.items() if name not in taken}}}

    if kind in (None, "message") and role in _ROLES and _is_content(content):
        return NewMessage(cast("str", role), content, metadata=rest("role", "content"))
    if kind == "function_call" and isinstance(call_id, str):
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": call_id, "type": "function", "function": function}
        return NewMessage("assistant", tool_calls=[call], metadata=rest("call_id", "name", "arguments"))
    if kind == "function_call_output" and isinstance(call_id, str) and _is_content(item.get("output")):
        return NewMessage("tool", item["output"], tool_call_id=call_id, metadata=rest("call_id", "output"))
    whole = {_NAME: {"whole": True}}
    if kind in _CALLS and isinstance(call_id, str):
        return NewMessage("assistant", [item], tool_calls=[{"id": call_id, "type": kind}], metadata=whole)
    if kind in _OUTPUTS and isinstance(call_id, str):
        return NewMessage("tool", [item], tool_call_id=call_id, metadata=whole)
    if isinstance(kind, str) and kind and kind != _NAME and role is None:
        return NewMessage("assistant", [item], metadata=whole)
    return None


def _is_content(content: object) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(isinstance(part, dict) and part.get("type") for part in content)


def to_items(message: Message | NewMessage) -> list[TResponseInputItem]:
    """The items of a stored message. A message that another program has stored can have several: its text and its calls.

    >>> to_items(client.add_message(conversation.id, "user", "Hello"))
    [{'role': 'user', 'content': 'Hello'}]
    """
    fields = unescaped(message)
    content, theirs = fields["content"], fields["metadata"].get(_NAME)
    calls = fields["tool_calls"] if isinstance(fields["tool_calls"], list) else []
    items: list[dict[str, Any]]
    if theirs is not None and (item := restored(content, _NAME)) is not None:
        items = [item]
    elif theirs is None:
        items = _foreign(message.role, content, calls, fields["tool_call_id"])
    elif theirs.get("whole"):
        items = list(content)
    else:
        item = dict(theirs["item"])
        if item.get("type") == "function_call":
            item |= {"call_id": calls[0]["id"], **_given(calls[0]["function"])}
        elif item.get("type") == "function_call_output":
            item |= {"call_id": fields["tool_call_id"], "output": content}
        else:
            item |= {"role": message.role, "content": content}
        items = [item]
    return cast("list[TResponseInputItem]", items)


def _given(function: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in function.items() if value is not None}


def _foreign(role: str, content: Any, calls: list[Any], tool_call_id: str | None) -> list[dict[str, Any]]:
    if role == "tool":
        output = content if isinstance(content, str) else json.dumps(content)
        return [{"type": "function_call_output", "call_id": tool_call_id or "", "output": output}]
    items: list[dict[str, Any]] = []
    if content:
        items.append({"role": role, "content": content})
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            known = {"name": function.get("name") or "", "arguments": function.get("arguments") or "{}"}
            items.append({"type": "function_call", "call_id": call.get("id") or "", **known})
    return items


class ScrollbackSession(SessionABC):
    """A session of the OpenAI Agents SDK, which is a conversation of Scrollback.

    Args:
        session_id: the session's name. A `UUID` is the id of a conversation.
        client: the client. It may serve several event loops, as `Runner.run_sync` needs it. `close` does not close it.
        user_id: whose session. The same name of another user is another session.
        session_settings: `SessionSettings(limit=...)`: how many items `get_items` returns without a limit.

    The first write creates the conversation, if it is not there. Its title is the beginning of the user's first message, and
    `metadata["session_id"]` is the session's name. If it is missing later, it was deleted: reading and writing raise `NotFound`, so that
    nothing comes back. A new object begins anew.

    Replies that are still being written are left out.

    A started write ends before a cancellation goes on, as in the sessions of the SDK.

    >>> async def main():
    ...     session = ScrollbackSession("rain", AsyncClient(server_url), user_id=user_id)
    ...     await session.add_items([{"role": "user", "content": "Is it raining?"}])
    ...     return await session.pop_item(), await session.get_items()
    >>> asyncio.run(main())
    ({'role': 'user', 'content': 'Is it raining?'}, [])
    """

    session_settings: SessionSettings | None = None

    def __init__(
        self,
        session_id: str | UUID,
        client: AsyncClient,
        *,
        user_id: str,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(client, AsyncClient):
            raise TypeError(f"client must be an AsyncClient, and not {type(client).__name__}")
        self.session_id = str(session_id)
        self.session_settings = (
            SessionSettings() if session_settings is None else coerce_session_settings(session_settings)
        )
        self._conversation = Conversation(session_id, user_id)
        self.conversation_id = self._conversation.id
        self._client = client
        self._closed = False

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The items, the newest `limit` of them. Without a limit, that of `session_settings` counts."""
        self._check_open()
        limit = resolve_session_limit(limit, self.session_settings)
        if limit is not None and limit <= 0:
            return []
        items = [item for _, item in await self._read(limit)]
        return items if limit is None else items[-limit:]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Stores items, in requests of up to 500. Each request stores all of its items or none."""
        self._check_open()
        new = [from_item(item) for item in items]
        if new:
            await _settled(self._append(new))

    async def pop_item(self) -> TResponseInputItem | None:
        """Removes the newest item and returns it.

        Two callers get the same item only if the answer to the first one's request was lost.
        """
        self._check_open()
        return await _settled(self._pop())

    async def clear_session(self) -> None:
        """Deletes all items."""
        self._check_open()
        await _settled(self._clear())

    async def create_branch_from_turn(self, turn_number: int, branch_name: str | None = None) -> str:
        """Makes a branch that has what came before a user's message, and switches to it. The other messages stay in their branch.

        Args:
            turn_number: which of the user's messages in the current branch, from 1.
            branch_name: a name that no branch has. Without it, one is made.

        The current branch is the conversation's line, for all programs that read it. The names are in the conversation's metadata, where
        about 60 of them fit. A branch without messages is not listed, as in `AdvancedSQLiteSession`.

        >>> async def main():
        ...     session = ScrollbackSession("rain", AsyncClient(server_url), user_id=user_id)
        ...     await session.add_items([{"role": "user", "content": text} for text in ("Hello", "Is it raining?")])
        ...     await session.create_branch_from_turn(2, "snow")
        ...     await session.add_items([{"role": "user", "content": "Is it snowing?"}])
        ...     await session.switch_to_branch("main")
        ...     return [(each["branch_id"], each["is_current"]) for each in await session.list_branches()]
        >>> asyncio.run(main())
        [('main', True), ('snow', False)]
        """
        self._check_open()
        if branch_name is not None and not branch_name.strip():
            raise ValueError("Branch name cannot be empty")
        return await _settled(self._create_branch(turn_number, branch_name))

    async def create_branch_from_content(self, search_term: str, branch_name: str | None = None) -> str:
        """Makes a branch from the first of the user's messages that has the text, and switches to it."""
        turns = await self.find_turns_by_content(search_term)
        if not turns:
            raise ValueError(f"No user turns found containing '{search_term}'")
        return await self.create_branch_from_turn(turns[0]["turn"], branch_name)

    async def switch_to_branch(self, branch_id: str) -> None:
        """Goes to another branch: the conversation's line then ends with its last message."""
        self._check_open()
        await _settled(self._switch(branch_id))

    async def list_branches(self) -> list[dict[str, Any]]:
        """The branches, the oldest first: `branch_id`, `message_count`, `user_turns`, `is_current` and `created_at`."""
        self._check_open()
        branches = await self._branches()
        return [
            {
                "branch_id": name,
                "message_count": sum(len(_finished(message)) for message in branches.messages(name)),
                "user_turns": len(branches.turns(name)),
                "is_current": name == branches.current,
                "created_at": branches.created_at(name),
            }
            for name in sorted(branches.named, key=lambda name: branches.named[name].get("id", ""))
            if branches.messages(name)
        ]

    async def get_conversation_turns(self, branch_id: str | None = None) -> list[dict[str, Any]]:
        """The user's messages in a branch: `turn`, `content` (its beginning), `full_content`, `timestamp` and `can_branch`."""
        turns = await self.find_turns_by_content("", branch_id)
        return [
            {**turn, "content": f"{text[:100]}..." if len(text := turn["content"]) > 100 else text} for turn in turns
        ]

    async def find_turns_by_content(self, search_term: str, branch_id: str | None = None) -> list[dict[str, Any]]:
        """The user's messages that have the text, in the form of `get_conversation_turns`. `content` is whole."""
        self._check_open()
        branches = await self._branches()
        term = re.compile(re.escape(search_term), re.IGNORECASE | re.ASCII)
        found = []
        for number, (message, content) in enumerate(branches.turns(branch_id or branches.current), 1):
            texts = [content] if isinstance(content, str) else [str(part.get("text", "")) for part in content]
            if not search_term or any(term.search(text) for text in texts):
                text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                at = _written(message.created_at)
                known = {"content": text, "full_content": content, "timestamp": at, "can_branch": True}
                found.append({"turn": number, **known})
        return found

    async def close(self) -> None:
        """Ends the use of this object. The client stays open."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{type(self).__name__} is closed")

    async def _read(self, limit: int | None) -> list[tuple[Message, TResponseInputItem]]:
        """The newest messages, each with its items. At least `limit` items, if there are so many."""
        client, conversation = self._client, self.conversation_id
        messages: list[Message] = []
        with self._conversation.read():
            if limit is None:
                messages = await client.get_chat_history(conversation).all()
            else:
                # A message without items does not count, and an unfinished reply neither. So this may take more than one page.
                found = 0
                history = client.get_chat_history(conversation, order="desc", page_size=min(limit, _LAST))
                async for message in history:
                    messages.append(message)
                    found += len(_finished(message))
                    if found >= limit:
                        break
                messages.reverse()
        return [(message, item) for message in messages for item in _finished(message)]

    async def _append(self, new: list[NewMessage], **condition: Any) -> None:
        await drive_async(self._client._run, self._conversation.append(new, **condition))

    async def _newest(self) -> tuple[Message, Page[Message]] | None:
        """The newest message with an item, and the page that it was on."""
        pages = self._client.get_chat_history(self.conversation_id, order="desc", page_size=1).pages()
        with self._conversation.read():
            async for page in pages:
                for message in page:
                    if _finished(message):
                        return message, page
        return None

    async def _pop(self) -> TResponseInputItem | None:
        while (found := await self._newest()) is not None:
            message, page = found
            *rest, item = to_items(message)
            try:
                if rest:
                    # Another program's message with several items. The others are stored again, one message each.
                    kept = [from_item(each) for each in rest]
                    await self._append(kept, from_=message.position, if_match=page.version)
                else:
                    await self._client.delete_message(self.conversation_id, message.id, if_match=page.version)
            except (PreconditionFailed, NotFound) as error:
                # If an answer was lost, the first attempt may have deleted the message, which moved the version.
                if error.maybe_done and await self._is_gone(message):
                    return item
            else:
                return item
        return None

    async def _is_gone(self, message: Message) -> bool:
        try:
            await self._client.get_message(self.conversation_id, message.id)
        except NotFound:
            return True
        return False

    async def _clear(self) -> None:
        with suppress(NotFound):
            await self._client.rewind_conversation(self.conversation_id)
            if _BRANCHES in (await self._client.get_conversation(self.conversation_id)).metadata:
                await self._client.update_conversation(self.conversation_id, metadata={_BRANCHES: None})

    async def _branches(self) -> _Branches:
        with self._conversation.read():
            # In this order: if anything changes meanwhile, a write with the conversation's version is refused.
            conversation = await self._client.get_conversation(self.conversation_id)
            return _Branches(conversation, await self._client.tree(self.conversation_id).all())
        return _Branches(None, [])

    async def _create_branch(self, number: int, name: str | None) -> str:
        mine = str(new_id())
        generated = f"branch_from_turn_{number}_{int(time.time())}"
        while True:
            branches = await self._branches()
            # Also if the answer to the first attempt was lost.
            if (made := next((each for each, of in branches.named.items() if of.get("id") == mine), None)) is not None:
                await self._switch(made, new=True)
                return made
            turns = branches.turns(branches.current)
            if not 0 < number <= len(turns):
                raise ValueError(f"Turn {number} does not contain a user message in branch '{branches.current}'")
            if name in branches.named:
                raise ValueError(f"Branch ID '{name}' has already been used. Choose a new branch ID.")
            unused, suffix = name or generated, 1
            while unused in branches.named:
                suffix += 1
                unused = f"{generated}_{suffix}"
            before = [each for each in branches.line if each.position < turns[number - 1][0].position]
            entry = {unused: {"id": mine, "end": _end(before)}}
            if _size({**branches.named, **entry}) > _MOST_BYTES_OF_BRANCHES:
                raise ValueError("This session has too many branches, or their names are too long")
            with suppress(PreconditionFailed):
                await self._note({"ends": entry}, branches.version)

    async def _switch(self, name: str, *, new: bool = False) -> None:
        moved = False
        while True:
            branches = await self._branches()
            if moved and branches.target != name:
                # It was done. Another program has gone on to another branch since.
                return
            path = branches.messages(name) if name in branches.named else []
            if not path and not new:
                raise ValueError(f"Branch '{name}' does not exist")
            version = branches.version
            try:
                if name != branches.current:
                    ends = {branches.current: {"end": _end(branches.line)}}
                    left = {"ends": ends, "current": name, "from": branches.current}
                    version = (await self._note(left, version)).version
                    last = path[-1].id if path else None
                    version = (await self._client.select_line(self.conversation_id, last, if_match=version)).version
                    moved = True
                elif not branches.is_pending:
                    return
                await self._note({"current": name, "from": None}, version)
            except PreconditionFailed:
                continue
            return

    async def _note(self, change: dict[str, Any], version: str | None) -> Stored:
        metadata = {_BRANCHES: change}
        return await self._client.update_conversation(self.conversation_id, metadata=metadata, if_match=version)

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[TResponseInputItem], bool] | None = None
    ) -> _CompactionSnapshot | None:
        """For the SDK's compaction: the newest items, and a function that replaces the end of them in one transaction."""
        # A subclass may change what is stored or read. It then has to write this, too.
        kind = type(self)
        if kind.add_items is not ScrollbackSession.add_items or kind.get_items is not ScrollbackSession.get_items:
            return None
        from agents.memory.session import _CompactionSnapshot

        self._check_open()
        rows = (await self._read(limit + 1)) if limit > 0 else []
        complete = len(rows) <= limit
        rows = rows[-limit:] if limit > 0 else []

        async def replace_suffix(start: int, output: list[TResponseInputItem]) -> bool:
            expected = rows[start:]
            # A message is replaced as a whole.
            if not expected or (start > 0 and rows[start - 1][0].id == expected[0][0].id):
                return False
            new = [from_item(item) for item in output]
            return await _settled(self._replace(expected, new, prune_prefix))

        return _CompactionSnapshot([item for _, item in rows], complete, replace_suffix)

    async def _replace(
        self,
        expected: list[tuple[Message, TResponseInputItem]],
        new: list[NewMessage],
        prune_prefix: Callable[[TResponseInputItem], bool] | None,
    ) -> bool:
        first = expected[0][0]
        ids = list(dict.fromkeys(message.id for message, _ in expected))
        while True:
            history = self._client.get_chat_history(self.conversation_id, after=first.position - 1)
            try:
                pages = [page async for page in history.pages()]
            except NotFound:
                return False
            current = [message for page in pages for message in page]
            if [message.id for message in current] != ids or current[0].updated_at != first.updated_at:
                return False
            # The version of the first page: what has changed while the pages were read is a conflict, too.
            condition = {"from_": first.position, "if_match": pages[0].version}
            try:
                if new:
                    await self._append(new, **condition)
                else:
                    await self._client.rewind_conversation(self.conversation_id, **condition)  # type: ignore[arg-type]
            except PreconditionFailed as error:
                # An append finds its own messages again, so only a rewind can have been done here.
                if error.maybe_done and not new:
                    return True
            else:
                break
        if prune_prefix is not None:
            await self._prune(first.position, prune_prefix)
        return True

    async def _prune(self, before: int, is_old: Callable[[TResponseInputItem], bool]) -> None:
        async for message in self._client.get_chat_history(self.conversation_id, before=before):
            items = _finished(message)
            if not items or not all(is_old(item) for item in items):
                return
            with suppress(NotFound):
                await self._client.delete_message(self.conversation_id, message.id)


class _Branches:
    """The branches of a session: the conversation's metadata names them, and its tree has their messages.

    The current branch is the line. Of each other one, `end` has the positions of its last messages: see `_end`.

    A switch notes where the current branch ends and where it goes, moves the line, and removes `from`. If it stopped in between, the line
    says whether it was moved.
    """

    def __init__(self, conversation: Stored | None, messages: Sequence[Message]) -> None:
        stored = {} if conversation is None else conversation.metadata.get(_BRANCHES) or {}
        self.version = None if conversation is None else conversation.version
        self.line = [message for message in messages if message.on_line]
        self.named: dict[str, dict[str, Any]] = {"main": {}, **stored.get("ends", {})}
        self.current = self.target = stored.get("current", "main")
        self.is_pending = "from" in stored
        self._by_id = {message.id: message for message in messages}
        self._by_position = {message.position: message for message in messages}
        if self.is_pending:
            line = {message.position for message in self.line}
            path = [message.position for message in self._kept(self.target)]
            left = next(iter(self.named[stored["from"]]["end"]), None)
            has_moved = not path or path[-1] in line
            if not has_moved or (left in line and left not in path):
                self.current = stored["from"]

    def _kept(self, name: str) -> list[Message]:
        ends = self.named.get(name, {}).get("end", [])
        message = next((self._by_position[end] for end in ends if end in self._by_position), None)
        path: list[Message] = []
        while message is not None:
            path.append(message)
            message = None if message.parent_id is None else self._by_id.get(message.parent_id)
        return path[::-1]

    def messages(self, name: str) -> list[Message]:
        return self.line if name == self.current else self._kept(name)

    def turns(self, name: str) -> list[tuple[Message, Any]]:
        """The user's messages, each with its content."""
        # An item may be any JSON.
        items: list[tuple[Message, Any]] = [(each, item) for each in self.messages(name) for item in _finished(each)]
        said = [(message, item) for message, item in items if isinstance(item, dict) and item.get("role") == "user"]
        return [(message, item.get("content", "")) for message, item in said]

    def created_at(self, name: str) -> str:
        if "id" not in self.named[name]:
            return _written(self.messages(name)[0].created_at)
        # A UUID of version 7 begins with the milliseconds.
        return _written(datetime.fromtimestamp((UUID(self.named[name]["id"]).int >> 80) / 1000, timezone.utc))


def _end(messages: Sequence[Message]) -> list[int]:
    """The positions of the last message and of those 1, 3, 7, ... before it. If the last ones are deleted, the branch ends there."""
    return [messages[-(1 << n)].position for n in range(len(messages).bit_length())]


def _written(moment: datetime) -> str:
    """As SQLite writes it."""
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def _finished(message: Message) -> list[TResponseInputItem]:
    return to_items(message) if is_said(message) else []


async def _settled(work: Coroutine[Any, Any, T]) -> T:
    """Waits for a write, also if the caller is cancelled meanwhile. The cancellation goes on afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:  # noqa: PERF203
            cancelled = cancelled or error
    if cancelled is not None:
        # The write's own exception is looked at, or the event loop reports it.
        task.exception()
        raise cancelled from None
    return task.result()
