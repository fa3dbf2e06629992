"""Lists that are requested page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from ._exchange import Operation
from ._operations import Listing
from .errors import InvalidResponse
from .models import Page

__all__ = ["AsyncPages", "Pages"]

T = TypeVar("T")


class Pages(Generic[T]):
    """A list that is requested page by page, while you iterate. Iterating again requests it again.

    >>> for text in ("one", "two", "three"):
    ...     message = client.add_message(conversation.id, "user", text)
    >>> history = client.get_chat_history(conversation.id, page_size=2)
    >>> [message.content for message in history]
    ['one', 'two', 'three']
    >>> [len(page) for page in history.pages()]
    [2, 1]
    >>> history.first_page()
    Page(2 items, version='"4"', has_more=True)
    """

    def __init__(self, run: Callable[[Operation[Page[T]]], Page[T]], listing: Listing[T]) -> None:
        self._run = run
        self._listing = listing

    def pages(self) -> Iterator[Page[T]]:
        """The pages, one response each."""
        walk = _Walk(self._listing)
        while (operation := walk.next) is not None:
            yield walk.cut(self._run(operation))

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def first_page(self) -> Page[T]:
        """The first page: one request."""
        return next(self.pages())

    def all(self) -> list[T]:
        """All items: as many requests as there are pages."""
        return list(self)


class AsyncPages(Generic[T]):
    """A list that is requested page by page, while you iterate with `async for`. Iterating again requests it again.

    >>> async def main():
    ...     async with AsyncClient(server_url) as client:
    ...         await client.add_messages(conversation.id, [NewMessage("user", text) for text in ("one", "two", "three")])
    ...         history = client.get_chat_history(conversation.id, page_size=2)
    ...         return [message.content async for message in history], await history.first_page()
    >>> asyncio.run(main())
    (['one', 'two', 'three'], Page(2 items, version='"2"', has_more=True))
    """

    def __init__(self, run: Callable[[Operation[Page[T]]], Awaitable[Page[T]]], listing: Listing[T]) -> None:
        self._run = run
        self._listing = listing

    async def pages(self) -> AsyncIterator[Page[T]]:
        """The pages, one response each."""
        walk = _Walk(self._listing)
        while (operation := walk.next) is not None:
            yield walk.cut(await self._run(operation))

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item

    async def first_page(self) -> Page[T]:
        """The first page: one request."""
        walk = _Walk(self._listing)
        return walk.cut(await self._run(self._listing.first))

    async def all(self) -> list[T]:
        """All items: as many requests as there are pages."""
        return [item async for item in self]


class _Walk(Generic[T]):
    """Goes through a listing's pages, up to its limit."""

    def __init__(self, listing: Listing[T]) -> None:
        self._listing = listing
        self._left = listing.limit
        self.next: Operation[Page[T]] | None = listing.first

    def cut(self, page: Page[T]) -> Page[T]:
        """The page, without the items beyond the limit. Afterwards, `next` is the request that follows."""
        try:
            self.next = self._listing.following(page)
        except ValueError:
            raise InvalidResponse("the response's next link leads to another host; check the base URL") from None
        if self._left is None:
            return page
        if len(page) >= self._left:
            self.next = None
            return Page(page[: self._left], version=page.version, next_link=page._next)
        self._left -= len(page)
        return page
