"""Branches of a session of the OpenAI Agents SDK."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("agents")

from agents.extensions.memory import AdvancedSQLiteSession

from scrollback import AsyncClient, Client, Retry, new_id
from scrollback.agents import ScrollbackSession
from tests.proxy import LOSE_ANSWER, Proxy


def said(*texts: str) -> list[Any]:
    """Questions, each with its answer."""
    both = [[{"role": "user", "content": text}, {"role": "assistant", "content": f"{text}!"}] for text in texts]
    return [item for turn in both for item in turn]


@pytest.fixture
def session(server_url: str) -> ScrollbackSession:
    return ScrollbackSession("rain", AsyncClient(server_url), user_id=f"user-{new_id()}")


async def scenario(session: Any) -> list[Any]:
    """What a session answers. Times are left out."""
    seen: list[Any] = []

    async def see() -> None:
        branches = await session.list_branches()
        assert [type(each.pop("created_at")) for each in branches] == [str] * len(branches)
        seen.append(sorted(branches, key=lambda each: str(each["branch_id"])))
        turns = [await session.get_conversation_turns(name) for name in (None, "main", "snow", "nowhere")]
        assert all(len(turn.pop("timestamp")) == 19 for each in turns for turn in each)
        seen.extend([turns, await session.get_items()])

    async def refused(call: Any) -> None:
        with pytest.raises(ValueError, match=r".") as error:
            await call
        seen.append(str(error.value))

    await see()
    await refused(session.switch_to_branch("main"))
    await refused(session.create_branch_from_turn(1, "snow"))
    await session.add_items([{"role": "system", "content": "Be brief."}, *said("a", "b" * 101, "c")])
    await session.add_items([{"role": "user", "content": [{"type": "input_text", "text": "Dé"}]}])
    await see()
    for turn in (0, 5, -1):
        await refused(session.create_branch_from_turn(turn, "snow"))
    for name in ("", " "):
        await refused(session.create_branch_from_turn(1, name))
    seen.append(await session.create_branch_from_turn(2, "snow"))
    await see()
    await session.add_items(said("x", "y"))
    await see()
    for name in ("snow", "main"):
        await refused(session.create_branch_from_turn(1, name))
    seen.append((await session.create_branch_from_turn(3)).startswith("branch_from_turn_3_"))
    seen.append((await session.create_branch_from_turn(2)).startswith("branch_from_turn_2_"))
    await refused(session.switch_to_branch("nowhere"))
    await session.switch_to_branch("main")
    await session.switch_to_branch("main")
    await session.add_items(said("e"))
    await session.switch_to_branch("snow")
    seen.append(await session.pop_item())
    await session.switch_to_branch("main")
    seen.append(await session.get_items())
    await refused(session.create_branch_from_content("nothing", "z"))
    for term in ("B", "dé", "C!", "%"):
        turns = await session.find_turns_by_content(term)
        seen.append([{**turn, "timestamp": None} for turn in turns])
    seen.append(await session.create_branch_from_content("C", "from c"))
    seen.append(await session.get_items())
    # A branch without messages.
    seen.append(await session.create_branch_from_turn(1, "from the start"))
    seen.append(await session.get_items())
    await session.add_items(said("new"))
    seen.append(await session.get_items())
    await session.switch_to_branch("snow")
    await session.clear_session()
    await see()
    await session.add_items(said("again"))
    await see()
    return seen


def test_the_branches_are_those_of_the_session_of_the_sdk(session: ScrollbackSession) -> None:
    theirs = AdvancedSQLiteSession(session_id="rain", create_tables=True)
    expected = asyncio.run(scenario(theirs))
    for ours, item in zip(asyncio.run(scenario(session)), expected, strict=True):
        assert ours == item


def test_another_process_has_the_same_branches(session: ScrollbackSession) -> None:
    async def main() -> None:
        other = ScrollbackSession("rain", session._client, user_id=session._conversation._user_id)
        await session.add_items(said("a", "b"))
        await session.create_branch_from_turn(2, "snow")
        await other.add_items(said("c"))
        await other.switch_to_branch("main")
        assert await session.get_items() == said("a", "b")
        await session.switch_to_branch("snow")
        assert await other.get_items() == said("a", "c")

    asyncio.run(main())


@pytest.mark.parametrize("number", range(8))
def test_a_lost_answer_makes_no_second_branch_and_loses_none(proxy: Proxy, client: Client, number: int) -> None:
    async def main() -> None:
        asynchronous = AsyncClient(proxy.url, retry=Retry(base=0.01))
        session = ScrollbackSession("rain", asynchronous, user_id=f"user-{new_id()}")
        await session.add_items(said("a", "b"))
        proxy.faults = ["forward"] * number + [LOSE_ANSWER]
        assert await session.create_branch_from_turn(2, "snow") == "snow"
        await session.add_items(said("c"))
        proxy.faults = ["forward"] * number + [LOSE_ANSWER]
        await session.switch_to_branch("main")
        proxy.faults = []
        assert await session.get_items() == said("a", "b")
        await session.switch_to_branch("snow")
        assert await session.get_items() == said("a", "c")
        assert [each["branch_id"] for each in await session.list_branches()] == ["main", "snow"]

    asyncio.run(main())


class Watched(AsyncClient):
    """A client that calls `before` before each write."""

    before: Any = None

    async def _run(self, operation: Any, /, **options: Any) -> Any:
        if operation.method != "GET":
            await self.before()
        return await super()._run(operation, **options)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("done", range(3))
@pytest.mark.parametrize(("turn", "filled"), [(1, False), (1, True), (2, False), (2, True)])
@pytest.mark.parametrize("way", [("snow", "main"), ("main", "snow")], ids="-".join)
def test_a_switch_that_stopped_in_the_middle_loses_nothing(
    server_url: str, way: tuple[str, str], turn: int, filled: bool, done: int, added: bool
) -> None:
    class Stopped(Exception):
        pass

    async def main() -> None:
        user = f"user-{new_id()}"
        session = ScrollbackSession("rain", AsyncClient(server_url), user_id=user)
        await session.add_items(said("a", "b"))
        await session.create_branch_from_turn(2, "hail")
        await session.add_items(said("h"))
        await session.switch_to_branch("main")
        await session.create_branch_from_turn(turn, "snow")
        snow = said("a")[: (turn - 1) * 2]
        if filled:
            await session.add_items(said("c"))
            snow += said("c")
        expected = {"main": said("a", "b"), "snow": snow, "hail": said("a", "h")}
        source, target = way
        if source == "main":
            await session.switch_to_branch(source)
        if not expected[target]:
            return

        left = done

        async def stop() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Stopped

        stopping = Watched(server_url)
        stopping.before = stop
        with pytest.raises(Stopped):
            await ScrollbackSession("rain", stopping, user_id=user).switch_to_branch(target)
        current = target if done == 2 else source
        found = [each["branch_id"] for each in await session.list_branches() if each["is_current"]]
        assert found == ([current] if expected[current] else [])
        if added:
            await session.add_items(said("d"))
            expected[current] += said("d")
        for name in ("hail", *expected, target):
            if expected[name]:
                await session.switch_to_branch(name)
                assert await session.get_items() == expected[name]

    asyncio.run(main())


@pytest.mark.parametrize("write", range(4))
@pytest.mark.parametrize("method", ["create", "switch"])
def test_what_another_program_appends_meanwhile_is_in_one_branch(server_url: str, method: str, write: int) -> None:
    async def main() -> None:
        user = f"user-{new_id()}"
        session = ScrollbackSession("rain", AsyncClient(server_url), user_id=user)
        await session.add_items(said("a", "b"))
        if method == "switch":
            await session.create_branch_from_turn(2, "snow")
            await session.add_items(said("c"))
            await session.switch_to_branch("main")
        writes = 0

        async def append() -> None:
            nonlocal writes
            writes += 1
            if writes == write + 1:
                await session.add_items(said("new"))

        watched = Watched(server_url)
        watched.before = append
        other = ScrollbackSession("rain", watched, user_id=user)
        if method == "switch":
            await other.switch_to_branch("snow")
        else:
            await other.create_branch_from_turn(2, "snow")
        items: dict[str, Any] = {}
        for name in ("snow", "main"):
            await session.switch_to_branch(name)
            items[name] = await session.get_items()
        expected = {"main": said("a", "b"), "snow": said("a", "c") if method == "switch" else said("a")}
        if writes > write:
            # Before the line is moved, it is the branch that is left.
            moved = write >= (2 if method == "switch" else 3)
            expected["snow" if moved else "main"] += said("new")
        assert items == expected

    asyncio.run(main())


def test_two_programs_switch_and_append_at_once(session: ScrollbackSession) -> None:
    async def main() -> None:
        user = session._conversation._user_id
        await session.add_items(said("a", "b"))
        for name in ("snow", "hail"):
            await session.create_branch_from_turn(2, name)
            await session.add_items(said(name))
            await session.switch_to_branch("main")
        sessions = [ScrollbackSession("rain", session._client, user_id=user) for _ in range(3)]

        async def one(each: ScrollbackSession, names: list[str]) -> None:
            for name in names:
                await each.switch_to_branch(name)

        async def append() -> None:
            for number in range(6):
                await session.add_items(said(f"n{number}"))

        orders = (["snow", "main"], ["hail", "snow"], ["main", "hail"])
        await asyncio.gather(append(), *(one(each, order) for each, order in zip(sessions, orders, strict=True)))
        found: list[str] = []
        for name, own in (("main", "b"), ("snow", "snow"), ("hail", "hail")):
            await session.switch_to_branch(name)
            items: list[Any] = await session.get_items()
            assert items[:4] == said("a", own)
            found += [item["content"] for item in items[4:]]
        # Each message is in one branch.
        assert sorted(found) == sorted(f"n{n}{mark}" for n in range(6) for mark in ("", "!"))

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_branch_ends_before_what_was_deleted(client: Client, session: ScrollbackSession, count: int) -> None:
    asyncio.run(session.add_items(said("a", "b", "c", "d")))
    stored = client.get_chat_history(session.conversation_id).all()
    asyncio.run(session.create_branch_from_turn(1, "snow"))
    asyncio.run(session.add_items(said("x")))
    for message in stored[-count:]:
        client.delete_message(session.conversation_id, message.id)
    # The last, the second last, the fourth last and the eighth last are known.
    left = {1: 7, 2: 5, 4: 1, 8: 0}[count]
    if left:
        asyncio.run(session.switch_to_branch("main"))
        assert asyncio.run(session.get_items()) == said("a", "b", "c", "d")[:left]
    else:
        with pytest.raises(ValueError, match=r"^Branch 'main' does not exist$"):
            asyncio.run(session.switch_to_branch("main"))
    asyncio.run(session.switch_to_branch("snow"))
    assert asyncio.run(session.get_items()) == said("x")


def test_the_names_of_branches_are_bounded(client: Client, session: ScrollbackSession) -> None:
    async def main() -> None:
        await session.add_items(said("a", "b"))
        for number in range(8):
            await session.create_branch_from_turn(2, f"{number}" * 900)
            await session.add_items(said("c"))
        with pytest.raises(ValueError, match="too many branches"):
            await session.create_branch_from_turn(2, "n" * 900)
        await session.switch_to_branch("main")
        assert await session.get_items() == said("a", "b")

    asyncio.run(main())
    assert client.get_conversation(session.conversation_id).metadata["session_id"] == "rain"
