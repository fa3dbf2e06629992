"""A chat back end: FastAPI, a model that streams, and Scrollback for the history.

    pip install scrollback-client fastapi uvicorn
    uvicorn chat:app --app-dir clients/python/examples --port 8000

It expects Scrollback at `SCROLLBACK_URL`, or where `cargo dev` runs it. The model here is a fake. Replace `generate` and `summarize` with
calls to yours. Sign-in is left out: in your program, the user is who the session says, and a chat has to be this user's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID, uuid5

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from scrollback import AsyncClient, AsyncReply, Context, PreconditionFailed, ScrollbackError, new_id

client = AsyncClient(os.environ.get("SCROLLBACK_URL", "http://127.0.0.1:9000"))

# How much of a chat the model reads. A real limit is in tokens: `max_tokens`.
MOST_MESSAGES = 6


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Closes the connections to Scrollback when the server ends."""
    async with client:
        yield


app = FastAPI(lifespan=lifespan)


class NewChat(BaseModel):
    """Whose chat begins."""

    user: str


class Said(BaseModel):
    """What the user wrote. The browser makes the id, so that it can send the message again safely."""

    text: str
    id: UUID | None = None


@app.post("/chats", status_code=201)
async def begin(chat: NewChat) -> dict[str, Any]:
    """Begins a chat."""
    conversation = await client.get_or_create_conversation(chat.user, new=True)
    await client.add_message(conversation.id, "system", "Be brief.")
    return {"id": conversation.id}


@app.get("/chats/{chat}")
async def history(chat: UUID) -> list[dict[str, Any]]:
    """All that was said, for the page. A reply that is still being written has the status `in_progress`."""
    return [
        {"position": message.position, "role": message.role, "text": message.content, "status": message.status}
        async for message in client.get_chat_history(chat)
        if message.role != "system"
    ]


@app.post("/chats/{chat}/messages")
async def say(chat: UUID, said: Said) -> StreamingResponse:
    """Stores what the user wrote, and streams the reply."""
    id_ = said.id or new_id()
    # If the browser sends the question again, both are stored once, because the reply's id follows from the question's.
    turn = await client.turn(
        chat,
        "user",
        said.text,
        id=id_,
        reply_id=uuid5(id_, "reply"),
        context={"max_messages": MOST_MESSAGES, "format": "openai"},
    )
    if turn.reply and turn.reply.content:
        # Somebody has written the reply, or still does. The model is not asked again.
        return StreamingResponse(client.follow_reply(chat, turn.reply.id), media_type="text/plain")
    return await streamed(chat, client.stream_reply(turn), turn.context)


@app.post("/chats/{chat}/regenerate")
async def regenerate(chat: UUID) -> StreamingResponse:
    """Replaces the last reply, and streams the new one."""
    page = await client.get_chat_history(chat, last=1).first_page()
    if not page or page[0].role != "assistant":
        raise HTTPException(409, "there is no reply to replace")
    return await streamed(chat, client.stream_reply(chat, id=page[0].id, from_=page[0].position, if_match=page.version))


async def streamed(
    chat: UUID, message: AsyncReply, context: Context[dict[str, Any]] | None = None
) -> StreamingResponse:
    """A response with the reply. If somebody has written since the version, such as a second click, it is a 409."""
    pieces = reply(chat, message, context)
    try:
        first = await anext(pieces)
    except PreconditionFailed:
        raise HTTPException(409, "the chat has gone on") from None

    async def all_pieces() -> AsyncIterator[str]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_pieces(), media_type="text/plain")


async def reply(chat: UUID, message: AsyncReply, context: Context[dict[str, Any]] | None) -> AsyncIterator[str]:
    """Streams a reply to the browser, and stores it at the same time."""
    async with message:
        # The reply is not complete yet, so it is not in the context.
        context = context or await client.get_context(chat, max_messages=MOST_MESSAGES, format="openai")
        async for piece in generate(context.messages):
            await message.write(piece)
            yield piece
    if context.omitted:
        await summarize_what_is_omitted(chat, context)


async def summarize_what_is_omitted(chat: UUID, context: Context[dict[str, Any]]) -> None:
    """Stores a text that stands for the messages that the model does not see any more, and for the summary before it."""
    assert context.first_position is not None  # noqa: S101
    through = context.first_position - 1
    known = (context.summary or {}).get("through", 0)
    old = [
        f"{message.role}: {message.content}"
        async for message in client.get_chat_history(chat, after=known, before=context.first_position)
        if message.role != "system"
    ]
    # The summary is a message of the context, behind the instructions.
    before = str(context.messages[1]["content"]) if known else "Earlier"
    # If somebody edits what the summary stands for, it is dropped. The next reply brings another one.
    with suppress(PreconditionFailed):
        await client.summarize_conversation(chat, through, await summarize(before, old), if_match=context.version)


@app.exception_handler(ScrollbackError)
async def failed(request: Request, error: ScrollbackError) -> JSONResponse:
    """Scrollback's error, as this back end's. It holds nothing that was said."""
    return JSONResponse({"detail": error.detail}, error.status if error.status in (400, 404, 409, 413) else 502)


async def generate(messages: tuple[dict[str, Any], ...]) -> AsyncIterator[str]:
    """A fake model: it says what it was sent, word by word."""
    for word in (f"I have read {len(messages)} messages.", f" You said: {messages[-1]['content']}"):
        yield word
        await asyncio.sleep(0.01)


async def summarize(before: str, texts: list[str]) -> str:
    """A fake model: it appends the texts' beginnings to the summary before."""
    return "; ".join([before, *(text[:40] for text in texts)])
