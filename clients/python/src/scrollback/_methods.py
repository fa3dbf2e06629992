"""The methods of both clients. `clients/python/generate.py` writes this file from the functions that it calls."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar, overload

from . import _operations, _reply
from ._exchange import Operation, drive, drive_async
from ._operations import UNSET, Id, Unset
from ._pages import AsyncPages, Pages
from ._reply import AsyncFollowing, AsyncReply, Following, Reply
from .models import (
    Content,
    Context,
    ContextFields,
    Conversation,
    Erased,
    Imported,
    Message,
    NewMessage,
    Page,
    Rewound,
    Role,
    SearchHit,
    Status,
    SummaryText,
    ToolCalls,
    Transferred,
    Turn,
    TurnConversation,
)

T = TypeVar("T")


class Methods:
    """What `Client` does, but for how it sends a request."""

    def _run(self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None) -> T:
        raise NotImplementedError

    def get_or_create_conversation(
        self,
        user_id: str | None = None,
        *,
        new: bool = False,
        id: Id | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_in: int | None = None,
    ) -> Conversation:
        """The user's most recently updated conversation, or a new one if there is none.

        Args:
            user_id: whose conversation. Without it: the token's user.
            new: start a new conversation in any case. The client makes its id, so that the request can be sent again.
            id: exactly this conversation, found or created. Another user's is a `Conflict`.
            title: for a conversation that is created. A found one keeps its own.
            metadata: for a conversation that is created. A found one keeps its own.
            expires_in: for a conversation that is created: after how many seconds it counts as deleted, at least 60.

        >>> first = client.get_or_create_conversation("grace")
        >>> client.get_or_create_conversation("grace").id == first.id
        True
        >>> client.get_or_create_conversation("grace", new=True, title="Compilers").title
        'Compilers'
        """
        call = _operations.get_or_create_conversation(
            user_id,
            new=new,
            id=id,
            title=title,
            metadata=metadata,
            expires_in=expires_in,
        )
        return self._run(call)

    def get_conversation(
        self,
        conversation_id: Id,
        *,
        if_none_match: str | None = None,
    ) -> Conversation:
        """A conversation, without its messages.

        With `if_none_match`, a conversation that still has this version raises `NotModified`.

        >>> client.get_conversation(conversation.id).message_count
        0
        """
        call = _operations.get_conversation(
            conversation_id,
            if_none_match=if_none_match,
        )
        return self._run(call)

    def update_conversation(
        self,
        conversation_id: Id,
        *,
        title: str | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        archived: bool | Unset = UNSET,
        pinned: bool | Unset = UNSET,
        expires_in: int | Unset | None = UNSET,
        if_match: str | None = None,
    ) -> Conversation:
        """Changes a conversation: its title and metadata, whether it is archived or pinned, and when it expires.

        Args:
            conversation_id: the conversation.
            title: the new title. None clears it.
            metadata: merged into the conversation's metadata, member by member (RFC 7396). A member that is None is deleted.
            archived: whether it is archived. An archived conversation is not the one that `get_or_create_conversation` finds.
            pinned: whether it is pinned.
            expires_in: after how many seconds it counts as deleted, at least 60. None: it never expires.
            if_match: change it only if it still has this version. Otherwise `PreconditionFailed` is raised.

        >>> client.update_conversation(conversation.id, metadata={"model": "gpt-5"}).metadata
        {'model': 'gpt-5'}
        >>> client.update_conversation(conversation.id, title="Umbrellas", metadata={"model": None}).metadata
        {}
        >>> client.update_conversation(conversation.id, archived=True).archived_at is None
        False
        """
        call = _operations.update_conversation(
            conversation_id,
            title=title,
            metadata=metadata,
            archived=archived,
            pinned=pinned,
            expires_in=expires_in,
            if_match=if_match,
        )
        return self._run(call)

    def fork_conversation(
        self,
        conversation_id: Id,
        *,
        through: int | None = None,
        id: Id | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Copies a conversation up to a message, for example to try another answer. The source is not changed.

        The copied messages keep their positions, times and token counts. They get new ids.

        Args:
            conversation_id: the conversation to copy.
            through: the position of the last message to copy. Without it, all messages are copied.
            id: the id of the copy. Without it, the client makes one. Pass your own if your program may repeat the call itself.
            title: the copy's title. Without it, the source's.
            metadata: the copy's metadata. Without it, the source's.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> reply = client.add_message(conversation.id, "assistant", "No.")
        >>> copy = client.fork_conversation(conversation.id, through=question.position, title="Another answer")
        >>> copy.message_count, copy.forked_from.position
        (1, 1)
        >>> copy.forked_from.conversation_id == conversation.id
        True
        """
        call = _operations.fork_conversation(
            conversation_id,
            through=through,
            id=id,
            title=title,
            metadata=metadata,
        )
        return self._run(call)

    def summarize_conversation(
        self,
        conversation_id: Id,
        through: int,
        content: str,
        *,
        token_count: int | None = None,
        if_match: str | None = None,
    ) -> Conversation:
        """Stores a text that stands for all messages up to a position. `get_context` uses it when the conversation does not fit.

        Args:
            conversation_id: the conversation.
            through: the position of the last message that the text stands for. It is behind the leading instructions, and does not divide a
                tool call from its results.
            content: the summary.
            token_count: how many tokens it has, as you counted them.
            if_match: store it only if no message up to `through` has changed since this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> client.summarize_conversation(conversation.id, question.position, "The user asks about rain.").summary.through
        1
        """
        call = _operations.summarize_conversation(
            conversation_id,
            through,
            content,
            token_count=token_count,
            if_match=if_match,
        )
        return self._run(call)

    def get_summary(
        self,
        conversation_id: Id,
        *,
        if_none_match: str | None = None,
    ) -> SummaryText:
        """The newest summary of a conversation, with its text. `NotFound` is raised if there is none.

        Args:
            conversation_id: the conversation.
            if_none_match: raise `NotModified` if the conversation still has this version.

        >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> summarized = client.summarize_conversation(conversation.id, question.position, "The user asks about rain.")
        >>> summary = client.get_summary(conversation.id)
        >>> summary.through, summary.content, summary.version == summarized.version
        (1, 'The user asks about rain.', True)
        """
        call = _operations.get_summary(
            conversation_id,
            if_none_match=if_none_match,
        )
        return self._run(call)

    def delete_summary(
        self,
        conversation_id: Id,
        *,
        if_match: str | None = None,
    ) -> None:
        """Deletes the newest summary of a conversation. An older one takes its place, if there is one.

        With `if_match`, the summary is deleted only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> summarized = client.summarize_conversation(conversation.id, question.position, "The user asks about rain.")
        >>> client.delete_summary(conversation.id)
        >>> print(client.get_conversation(conversation.id).summary)
        None
        """
        call = _operations.delete_summary(
            conversation_id,
            if_match=if_match,
        )
        return self._run(call)

    def delete_conversation(
        self,
        conversation_id: Id,
        *,
        if_match: str | None = None,
    ) -> None:
        """Deletes a conversation and its messages.

        >>> client.delete_conversation(conversation.id)
        >>> client.get_conversation(conversation.id)
        Traceback (most recent call last):
            ...
        scrollback.errors.NotFound: no such conversation or message (404, not_found, request ...)
        """
        call = _operations.delete_conversation(
            conversation_id,
            if_match=if_match,
        )
        return self._run(call)

    def add_message(
        self,
        conversation_id: Id,
        role: Role | str,
        content: Content | None = None,
        *,
        tool_calls: ToolCalls | None = None,
        id: Id | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        token_count: int | None = None,
        status: Status | None = None,
        refusal: str | None = None,
        annotations: Sequence[Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        function_call: Mapping[str, Any] | None = None,
        reasoning_content: str | None = None,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        if_match: str | None = None,
    ) -> Message:
        """Stores a message at the end of a conversation, exactly once.

        Args:
            conversation_id: the conversation.
            role: who speaks: `user`, `assistant`, `tool`, `system` or `developer`.
            content: text, or content parts.
            tool_calls: the model's calls to tools. Either this or `content` is required.
            id: the message's id. Without it, the client makes one. Pass your own if your program may repeat the call itself.
            tool_call_id: the call that a tool's message answers.
            name: the speaker's or the tool's name.
            metadata: your own data about the message.
            token_count: how many tokens it has, as you counted them. `get_context` counts with it instead of an estimate.
            status: `in_progress` for the beginning of a reply that is still being written. See `stream_reply`.
            refusal, annotations, audio, function_call, reasoning_content: what OpenAI's SDKs dump of a message besides. They come back in the
                message's `extra`.
            from_: replace the message at this position and all after it, in one transaction. A retry deletes nothing, because the message is
                stored already.
            parent_id: the message follows this one, or with None it is at the beginning. What followed before is kept as another version. See
                `select_line`.
            if_match: store it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> message.position, message.content
        (1, 'Is it raining in Oslo?')
        >>> call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        >>> client.add_message(conversation.id, "assistant", tool_calls=[call]).position
        2
        """
        call = _operations.add_message(
            conversation_id,
            role,
            content,
            tool_calls=tool_calls,
            id=id,
            tool_call_id=tool_call_id,
            name=name,
            metadata=metadata,
            token_count=token_count,
            status=status,
            refusal=refusal,
            annotations=annotations,
            audio=audio,
            function_call=function_call,
            reasoning_content=reasoning_content,
            from_=from_,
            parent_id=parent_id,
            if_match=if_match,
        )
        return self._run(call)

    def add_messages(
        self,
        conversation_id: Id,
        messages: Iterable[NewMessage | Mapping[str, Any]],
        *,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        if_match: str | None = None,
    ) -> Page[Message]:
        """Stores 1 to 500 messages at the end of a conversation: all or none, in this order, at adjacent positions.

        A message is a `NewMessage`, or a mapping with the same fields, such as a Chat Completions message. One without an id gets one.
        Messages that are stored already with the same content are not stored again.

        With `from_`, they replace the message at that position and all after it, in one transaction. With `parent_id`, they follow that
        message, and what followed it before is kept as another version. None is the beginning.

        >>> call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        >>> stored = client.add_messages(
        ...     conversation.id,
        ...     [
        ...         {"role": "assistant", "content": None, "tool_calls": [call]},
        ...         NewMessage("tool", "rain", tool_call_id="call_1", name="weather"),
        ...     ],
        ... )
        >>> [message.position for message in stored]
        [1, 2]
        """
        call = _operations.add_messages(
            conversation_id,
            messages,
            from_=from_,
            parent_id=parent_id,
            if_match=if_match,
        )
        return self._run(call)

    def get_chat_history(
        self,
        conversation_id: Id,
        *,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        last: int | None = None,
        include: Literal["versions"] | None = None,
        line: Id | None = None,
        all: bool = False,
        if_none_match: str | None = None,
        page_size: int | None = None,
    ) -> Pages[Message]:
        """A conversation's messages, in chronological order. They are requested page by page, while you iterate.

        Args:
            conversation_id: the conversation.
            limit: how many messages at most, in all.
            after: only messages behind this position.
            before: only messages before this position.
            order: `desc` for the newest first.
            last: the newest so many (1 to 1000), still in chronological order. It excludes `limit`, `after`, `before` and `order`.
            include: `versions` fills in the `versions` of each message.
            line: read the path that ends with this message, whether it is on the current line or not.
            all: read all messages, also those that are kept beside the current line. See `tree`.
            if_none_match: raise `NotModified` if the conversation still has this version. `first_page().version` is the current one.
            page_size: how many messages a request asks for, 1 to 1000. Without it, as many as fit in a response.

        >>> for text in ("Hello", "Are you there?"):
        ...     message = client.add_message(conversation.id, "user", text)
        >>> [message.content for message in client.get_chat_history(conversation.id)]
        ['Hello', 'Are you there?']
        >>> [message.content for message in client.get_chat_history(conversation.id, last=1)]
        ['Are you there?']
        """
        call = _operations.get_chat_history(
            conversation_id,
            limit=limit,
            after=after,
            before=before,
            order=order,
            last=last,
            include=include,
            line=line,
            all=all,
            if_none_match=if_none_match,
            page_size=page_size,
        )
        return Pages(self._run, call)

    def tree(
        self,
        conversation_id: Id,
        *,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        last: int | None = None,
        if_none_match: str | None = None,
        page_size: int | None = None,
    ) -> Pages[Message]:
        """All messages of a conversation, also those that are kept beside its current line, by their positions.

        Each one has its `parent_id`, and `on_line` says whether it is on the line. A parent comes before the messages that follow it. The
        parameters are those of `get_chat_history`.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> for text in ("No.", "Yes."):
        ...     answer = client.add_message(conversation.id, "assistant", text, parent_id=question.id)
        >>> for message in client.tree(conversation.id):
        ...     print(message.content, message.parent_id == question.id, message.on_line)
        Is it raining? False True
        No. True False
        Yes. True True
        """
        call = _operations.tree(
            conversation_id,
            limit=limit,
            after=after,
            before=before,
            order=order,
            last=last,
            if_none_match=if_none_match,
            page_size=page_size,
        )
        return Pages(self._run, call)

    def select_line(
        self,
        conversation_id: Id,
        message_id: Id | None,
        *,
        newest: bool = False,
        if_match: str | None = None,
    ) -> Conversation:
        """Goes to another version of a message: the current line then ends with it, or goes on below it.

        Histories, contexts, searches and counts are about the current line. What leaves the line is kept.

        Args:
            conversation_id: the conversation.
            message_id: the last message of the line. None is the beginning of the conversation.
            newest: the line goes on below that message, to the newest message at each step.
            if_match: do it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> for text in ("No.", "Yes."):
        ...     answer = client.add_message(conversation.id, "assistant", text, parent_id=question.id)
        >>> first, second = client.get_message(conversation.id, answer.id, include="versions").versions
        >>> client.select_line(conversation.id, first, newest=True).kept_count
        1
        >>> [message.content for message in client.get_chat_history(conversation.id)]
        ['Is it raining?', 'No.']
        """
        call = _operations.select_line(
            conversation_id,
            message_id,
            newest=newest,
            if_match=if_match,
        )
        return self._run(call)

    def rewind_conversation(
        self,
        conversation_id: Id,
        *,
        from_: int | None = None,
        if_match: str | None = None,
    ) -> Rewound:
        """Deletes a message and all after it, so that a reply can be generated again.

        Args:
            conversation_id: the conversation.
            from_: the position of the first message to delete. Without it, all messages are deleted.
            if_match: delete them only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> reply = client.add_message(conversation.id, "assistant", "No.")
        >>> client.rewind_conversation(conversation.id, from_=reply.position, if_match=reply.version).deleted
        1
        """
        call = _operations.rewind_conversation(
            conversation_id,
            from_=from_,
            if_match=if_match,
        )
        return self._run(call)

    def get_message(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        skip: int | None = None,
        wait: int | None = None,
        include: Literal["versions"] | None = None,
        if_none_match: str | None = None,
    ) -> Message:
        """A message. A reader of a reply that is still being written calls this again and again.

        Args:
            conversation_id: the conversation.
            message_id: the message.
            skip: how many characters of the content you have already. The answer has only what comes behind them.
            wait: with `if_none_match`, wait for so many seconds (1 to 20) until there is something new, or the reply ends.
            include: `versions` fills in the message's `versions`.
            if_none_match: raise `NotModified` if the conversation still has this version.

        >>> message = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
        >>> piece = client.update_message(conversation.id, message.id, append="ing.", at=10, status="complete")
        >>> rest = client.get_message(conversation.id, message.id, skip=10)
        >>> rest.content, rest.status
        ('ing.', 'complete')
        """
        call = _operations.get_message(
            conversation_id,
            message_id,
            skip=skip,
            wait=wait,
            include=include,
            if_none_match=if_none_match,
        )
        return self._run(call)

    def delete_message(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        if_match: str | None = None,
    ) -> None:
        """Deletes a message. The others keep their positions, and those that followed it follow its parent.

        With `if_match`, the message is deleted only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> message = client.add_message(conversation.id, "user", "Hello")
        >>> client.delete_message(conversation.id, message.id)
        >>> client.get_conversation(conversation.id).message_count
        0
        """
        call = _operations.delete_message(
            conversation_id,
            message_id,
            if_match=if_match,
        )
        return self._run(call)

    def update_message(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        content: Content | Unset | None = UNSET,
        tool_calls: ToolCalls | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        token_count: int | Unset | None = UNSET,
        feedback: Mapping[str, Any] | Unset | None = UNSET,
        append: str | None = None,
        at: int | None = None,
        status: Status | None = None,
        if_match: str | None = None,
    ) -> Message:
        """Edits a message, which keeps its position.

        A field that is left out stays as it is. None clears a field. New content without a new `token_count` clears the count.

        Args:
            conversation_id: the conversation.
            message_id: the message.
            content: the new text or content parts.
            tool_calls: the new calls.
            metadata: merged into the message's metadata, member by member (RFC 7396). A member that is None is deleted.
            token_count: how many tokens it has, as you counted them.
            feedback: what the conversation's user thinks of the message, such as `{"rating": "up", "comment": "Just right"}`. A rating is `up`,
                `down` or None. It changes no context.
            append: the next piece of a reply that is being written, with `at`. A piece that is there already is not appended again.
            at: how many characters the content has before the piece. If it has another number, `Conflict` is raised, with `length`.
            status: `complete` ends a reply that was being written, and so does `cancelled`. See `cancel_reply`.
            if_match: edit it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> message = client.add_message(conversation.id, "user", "Is it raining in Olso?")
        >>> client.update_message(conversation.id, message.id, content="Is it raining in Oslo?").content
        'Is it raining in Oslo?'
        """
        call = _operations.update_message(
            conversation_id,
            message_id,
            content=content,
            tool_calls=tool_calls,
            metadata=metadata,
            token_count=token_count,
            feedback=feedback,
            append=append,
            at=at,
            status=status,
            if_match=if_match,
        )
        return self._run(call)

    def cancel_reply(
        self,
        conversation_id: Id,
        message_id: Id,
    ) -> Message:
        """Stops a reply that is being written, for the person who reads it. The reply keeps what it has, and contexts have it.

        A reply that is cancelled already stays as it is. `Conflict` is raised if the message is complete. The writer's next piece raises
        `Cancelled`. A user's own token may cancel, whatever roles it may write.

        >>> reply = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
        >>> client.cancel_reply(conversation.id, reply.id).status
        'cancelled'
        """
        call = _operations.cancel_reply(
            conversation_id,
            message_id,
        )
        return self._run(call)

    @overload
    def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["messages"] = "messages",
        if_none_match: str | None = None,
    ) -> Context[Message]: ...
    @overload
    def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["openai", "anthropic", "responses", "gemini", "converse"],
        if_none_match: str | None = None,
    ) -> Context[dict[str, Any]]: ...
    @overload
    def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"],
        if_none_match: str | None = None,
    ) -> Context[Any]: ...
    def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"] = "messages",
        if_none_match: str | None = None,
    ) -> Context[Any]:
        """What to send to a model: the leading instructions and the newest messages that fit. Every tool call has its results.

        Args:
            conversation_id: the conversation.
            max_messages: how many messages at most, the instructions included.
            max_chars: how many characters of `content` and `tool_calls` at most.
            max_tokens: how many tokens at most: each message's `token_count`, or else an estimate.
            step: how much is appended, in what the limit counts, before the start of the messages moves. So a prompt cache is hit.
            tool_results: how many tool results, the newest, keep their contents.
            unanswered: what happens to a call that was interrupted. `answer` (the default) adds a result, and `drop` leaves the call out.
            call_ids: what happens to the ids of calls in other formats than `messages`. `fit` (the default) makes them unique and as the API
                takes them, and `keep` leaves them alone.
            line: the context of the path that ends with this message, as if the current line ended there.
            format: `messages` for `Message` objects, or dictionaries as an API takes them: `openai` (Chat Completions), `anthropic`
                (Messages), `responses` (OpenAI's Responses), `gemini` (Google's `contents`) or `converse` (Amazon Bedrock's Converse, whose
                bytes are base64 here and `bytes` in boto3).
            if_none_match: raise `NotModified` if the conversation still has this version.

        >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> client.get_context(conversation.id, max_messages=50, format="openai").messages
        ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
        """
        call = _operations.get_context(
            conversation_id,
            max_messages=max_messages,
            max_chars=max_chars,
            max_tokens=max_tokens,
            step=step,
            tool_results=tool_results,
            unanswered=unanswered,
            call_ids=call_ids,
            line=line,
            format=format,
            if_none_match=if_none_match,
        )
        return self._run(call)

    def turn(
        self,
        conversation_id: Id,
        role: Role | str | None = None,
        content: Content | None = None,
        *,
        messages: Iterable[NewMessage | Mapping[str, Any]] | None = None,
        tool_calls: ToolCalls | None = None,
        id: Id | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        token_count: int | None = None,
        status: Status | None = None,
        refusal: str | None = None,
        annotations: Sequence[Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        function_call: Mapping[str, Any] | None = None,
        reasoning_content: str | None = None,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        reply_id: Id | bool | None = None,
        conversation: TurnConversation | None = None,
        context: ContextFields | None = None,
        if_match: str | None = None,
    ) -> Turn:
        """Begins a turn, in one request: stores what the user said, and returns what to send to the model.

        All of it is done, or nothing. Then `add_message` stores the answer, or `stream_reply(turn)` does, while the model writes it.

        Args:
            conversation_id: the conversation. To create it, pass `conversation` and an id from `new_id()`.
            role, content: the message, as `add_message` takes it.
            messages: several messages, as `add_messages` takes them, in place of one. Then the fields of a message are left out.
            tool_calls, tool_call_id, name, metadata, token_count, status: fields of the message.
            id: the message's id. Without it, the client makes one. Pass your own, and that of the reply, if your program may repeat the call.
            refusal, annotations, audio, function_call, reasoning_content: fields of the message.
            from_: replace the message at this position and all after it.
            parent_id: the messages follow this one, as in `add_message`.
            reply_id: True stores an empty reply behind the messages, whose status is `in_progress`, so that a page that is loaded from now on
                can follow it. The client makes its id, unless this is one.
            conversation: the conversation is created if it is not there, with these fields. Another user's is a `Conflict`.
            context: the parameters of `get_context`, such as `{"format": "openai", "max_tokens": 8000}`.
            if_match: begin only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> turn = client.turn(
        ...     new_id(),
        ...     "user",
        ...     "Is it raining in Oslo?",
        ...     conversation={"user_id": "ada", "title": "Umbrellas"},
        ...     context={"format": "openai"},
        ... )
        >>> turn.context.messages
        ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
        >>> client.add_message(turn.conversation.id, "assistant", "Yes.").position
        2
        """
        call = _operations.turn(
            conversation_id,
            role,
            content,
            messages=messages,
            tool_calls=tool_calls,
            id=id,
            tool_call_id=tool_call_id,
            name=name,
            metadata=metadata,
            token_count=token_count,
            status=status,
            refusal=refusal,
            annotations=annotations,
            audio=audio,
            function_call=function_call,
            reasoning_content=reasoning_content,
            from_=from_,
            parent_id=parent_id,
            reply_id=reply_id,
            conversation=conversation,
            context=context,
            if_match=if_match,
        )
        return self._run(call)

    def get_user_conversations(
        self,
        user_id: str,
        *,
        order: Literal["updated", "activity"] | None = None,
        title: str | None = None,
        metadata: Mapping[str, str | int] | None = None,
        archived: bool | None = None,
        pinned: bool | None = None,
        ids: Iterable[Id] | None = None,
        include: Literal["last_message"] | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Pages[Conversation]:
        """A user's conversations, the most recently updated first. They are requested page by page, while you iterate.

        A conversation is listed if it passes all filters. A page of a filtered list may have few conversations or none, and others may follow.

        Args:
            user_id: the user. One who is not known has no conversations.
            order: `activity` orders by `last_message_at`, which only new messages move. The default is `updated`.
            title: a part of the title, in upper or lower case.
            metadata: members of the conversation's metadata that have these values. The API compares them as text.
            archived: whether they are archived. Both, if it is left out.
            pinned: whether they are pinned. Both, if it is left out.
            ids: only these conversations, up to 100.
            include: `last_message` fills in the `last_message` of each conversation.
            limit: how many conversations at most, in all.
            page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

        >>> [found.id == conversation.id for found in client.get_user_conversations("ada", limit=1)]
        [True]
        >>> message = client.add_message(conversation.id, "user", "Hello")
        >>> changed = client.update_conversation(conversation.id, metadata={"project": "rain"}, pinned=True)
        >>> sidebar = client.get_user_conversations(
        ...     "ada", order="activity", metadata={"project": "rain"}, pinned=True, include="last_message", limit=1
        ... )
        >>> [found.last_message.content for found in sidebar]
        ['Hello']
        """
        call = _operations.get_user_conversations(
            user_id,
            order=order,
            title=title,
            metadata=metadata,
            archived=archived,
            pinned=pinned,
            ids=ids,
            include=include,
            limit=limit,
            page_size=page_size,
        )
        return Pages(self._run, call)

    def search_messages(
        self,
        user_id: str,
        q: str,
        *,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> Pages[SearchHit]:
        """Searches a user's messages, the newest first. The hits are requested page by page, while you iterate.

        Args:
            user_id: the user.
            q: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives. Sentence marks around a word do not matter.
            limit: how many hits at most, in all.
            page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

        >>> message = client.add_message(conversation.id, "user", "Take an umbrella.")
        >>> [hit.snippet for hit in client.search_messages("ada", "umbrella -snow", limit=1)]
        ['Take an **umbrella**.']
        >>> [hit.snippet[start:end] for hit in client.search_messages("ada", "umbrella", limit=1) for start, end in hit.highlights]
        ['umbrella']
        """
        call = _operations.search_messages(
            user_id,
            q,
            limit=limit,
            page_size=page_size,
        )
        return Pages(self._run, call)

    def erase_user(
        self,
        user_id: str,
    ) -> Erased:
        """Deletes everything that is stored about a user. For a user who is not known, the answer is zeros.

        A very large user takes several requests. The client sends them, and adds up their counts. Nothing of the user can be read from the
        first one on. If the call is interrupted, the same call goes on.
        If an attempt's answer was lost, its counts are missing.

        >>> client.get_or_create_conversation("mallory").message_count
        0
        >>> client.erase_user("mallory")
        Erased(conversations=1, messages=0)
        """
        call = _operations.erase_user(
            user_id,
        )
        return drive(self._run, call)

    def transfer_user(
        self,
        user_id: str,
        to: str,
    ) -> Transferred:
        """Makes a user's conversations another user's, as when a guest signs in. It takes a token with the service scope.

        A very large user takes several requests. The client sends them, and adds up their counts. If the call is interrupted, the same call
        goes on.
        If an attempt's answer was lost, its counts are missing.

        Args:
            user_id: the user who has the conversations. One who is not known is a zero.
            to: the user who gets them.

        >>> guest = client.get_or_create_conversation("guest-4711", new=True)
        >>> client.transfer_user("guest-4711", "ada")
        Transferred(conversations=1)
        >>> client.get_conversation(guest.id).user_id
        'ada'
        """
        call = _operations.transfer_user(
            user_id,
            to,
        )
        return drive(self._run, call)

    def export_user(
        self,
        user_id: str,
    ) -> Pages[bytes]:
        """Everything that is stored for a user, as lines of JSON. They are requested page by page, while you iterate.

        A line is the bytes of a JSON object, with the line break at its end. It has a `conversation` with its `summaries`, or a `message`. The
        messages of a conversation follow its line. `import_user` stores the same lines again, byte for byte.

        `file.writelines(client.export_user(user_id))` writes a file that is opened with the mode `wb`.

        Args:
            user_id: the user. One who is not known has no lines.

        >>> import json
        >>> chat = client.get_or_create_conversation("lin", new=True)
        >>> message = client.add_message(chat.id, "user", "Hello")
        >>> lines = client.export_user("lin").all()
        >>> [list(json.loads(line)) for line in lines]
        [['conversation', 'summaries', 'next_position'], ['message']]
        >>> client.erase_user("lin")
        Erased(conversations=1, messages=1)
        >>> client.import_user("lin", lines)
        Imported(conversations=1, messages=1, skipped=0, expired=0)
        >>> client.export_user("lin").all() == lines
        True
        >>> client.erase_user("lin")
        Erased(conversations=1, messages=1)
        """
        call = _operations.export_user(
            user_id,
        )
        return Pages(self._run, call)

    def import_user(
        self,
        user_id: str,
        lines: Iterable[bytes | str],
    ) -> Imported:
        """Stores the lines of an export for a user. It takes a token with the service scope.

        Ids, positions, times and all else are kept. Lines that are stored already are skipped, so the call can be repeated. Conversations that
        have expired are left out.

        The lines are sent while they are read, in requests of 4 MiB and 5000 lines at most. All lines of a request are stored, or none. If a
        line is refused, `param` of the exception has its number, and the requests before it are stored.
        If an attempt's answer was lost, what it stored is counted as skipped.

        Args:
            user_id: the user who gets the conversations.
            lines: the lines in the order of the export: a file that is opened with the mode `rb`, or another client's `export_user(...)`.
                `AsyncClient` takes an asynchronous iterable, too. Empty lines are left out.

        >>> chat = client.get_or_create_conversation("katherine", new=True)
        >>> with Client(server_url) as another:
        ...     client.import_user("katherine", another.export_user("katherine"))
        Imported(conversations=0, messages=0, skipped=1, expired=0)
        >>> client.erase_user("katherine")
        Erased(conversations=1, messages=0)
        """
        call = _operations.import_user(
            user_id,
            lines,
        )
        return drive(self._run, call)

    def stream_reply(
        self,
        conversation_id: Id | Turn,
        *,
        role: Role | str = "assistant",
        id: Id | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        if_match: str | None = None,
        flush_seconds: float = 0.5,
        flush_characters: int = 2000,
    ) -> Reply:
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
        call = _reply.stream_reply(
            conversation_id,
            role=role,
            id=id,
            name=name,
            metadata=metadata,
            from_=from_,
            parent_id=parent_id,
            if_match=if_match,
            flush_seconds=flush_seconds,
            flush_characters=flush_characters,
        )
        return Reply(self._run, call)

    def follow_reply(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        skip: int = 0,
        interval: float = 0.2,
    ) -> Following:
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
        call = _reply.follow_reply(
            conversation_id,
            message_id,
            skip=skip,
            interval=interval,
        )
        return Following(self._run, call)


class AsyncMethods:
    """What `AsyncClient` does, but for how it sends a request."""

    async def _run(self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None) -> T:
        raise NotImplementedError

    async def get_or_create_conversation(
        self,
        user_id: str | None = None,
        *,
        new: bool = False,
        id: Id | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_in: int | None = None,
    ) -> Conversation:
        """The user's most recently updated conversation, or a new one if there is none.

        Args:
            user_id: whose conversation. Without it: the token's user.
            new: start a new conversation in any case. The client makes its id, so that the request can be sent again.
            id: exactly this conversation, found or created. Another user's is a `Conflict`.
            title: for a conversation that is created. A found one keeps its own.
            metadata: for a conversation that is created. A found one keeps its own.
            expires_in: for a conversation that is created: after how many seconds it counts as deleted, at least 60.

        >>> first = client.get_or_create_conversation("grace")
        >>> client.get_or_create_conversation("grace").id == first.id
        True
        >>> client.get_or_create_conversation("grace", new=True, title="Compilers").title
        'Compilers'
        """
        call = _operations.get_or_create_conversation(
            user_id,
            new=new,
            id=id,
            title=title,
            metadata=metadata,
            expires_in=expires_in,
        )
        return await self._run(call)

    async def get_conversation(
        self,
        conversation_id: Id,
        *,
        if_none_match: str | None = None,
    ) -> Conversation:
        """A conversation, without its messages.

        With `if_none_match`, a conversation that still has this version raises `NotModified`.

        >>> client.get_conversation(conversation.id).message_count
        0
        """
        call = _operations.get_conversation(
            conversation_id,
            if_none_match=if_none_match,
        )
        return await self._run(call)

    async def update_conversation(
        self,
        conversation_id: Id,
        *,
        title: str | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        archived: bool | Unset = UNSET,
        pinned: bool | Unset = UNSET,
        expires_in: int | Unset | None = UNSET,
        if_match: str | None = None,
    ) -> Conversation:
        """Changes a conversation: its title and metadata, whether it is archived or pinned, and when it expires.

        Args:
            conversation_id: the conversation.
            title: the new title. None clears it.
            metadata: merged into the conversation's metadata, member by member (RFC 7396). A member that is None is deleted.
            archived: whether it is archived. An archived conversation is not the one that `get_or_create_conversation` finds.
            pinned: whether it is pinned.
            expires_in: after how many seconds it counts as deleted, at least 60. None: it never expires.
            if_match: change it only if it still has this version. Otherwise `PreconditionFailed` is raised.

        >>> client.update_conversation(conversation.id, metadata={"model": "gpt-5"}).metadata
        {'model': 'gpt-5'}
        >>> client.update_conversation(conversation.id, title="Umbrellas", metadata={"model": None}).metadata
        {}
        >>> client.update_conversation(conversation.id, archived=True).archived_at is None
        False
        """
        call = _operations.update_conversation(
            conversation_id,
            title=title,
            metadata=metadata,
            archived=archived,
            pinned=pinned,
            expires_in=expires_in,
            if_match=if_match,
        )
        return await self._run(call)

    async def fork_conversation(
        self,
        conversation_id: Id,
        *,
        through: int | None = None,
        id: Id | None = None,
        title: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Conversation:
        """Copies a conversation up to a message, for example to try another answer. The source is not changed.

        The copied messages keep their positions, times and token counts. They get new ids.

        Args:
            conversation_id: the conversation to copy.
            through: the position of the last message to copy. Without it, all messages are copied.
            id: the id of the copy. Without it, the client makes one. Pass your own if your program may repeat the call itself.
            title: the copy's title. Without it, the source's.
            metadata: the copy's metadata. Without it, the source's.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> reply = client.add_message(conversation.id, "assistant", "No.")
        >>> copy = client.fork_conversation(conversation.id, through=question.position, title="Another answer")
        >>> copy.message_count, copy.forked_from.position
        (1, 1)
        >>> copy.forked_from.conversation_id == conversation.id
        True
        """
        call = _operations.fork_conversation(
            conversation_id,
            through=through,
            id=id,
            title=title,
            metadata=metadata,
        )
        return await self._run(call)

    async def summarize_conversation(
        self,
        conversation_id: Id,
        through: int,
        content: str,
        *,
        token_count: int | None = None,
        if_match: str | None = None,
    ) -> Conversation:
        """Stores a text that stands for all messages up to a position. `get_context` uses it when the conversation does not fit.

        Args:
            conversation_id: the conversation.
            through: the position of the last message that the text stands for. It is behind the leading instructions, and does not divide a
                tool call from its results.
            content: the summary.
            token_count: how many tokens it has, as you counted them.
            if_match: store it only if no message up to `through` has changed since this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> client.summarize_conversation(conversation.id, question.position, "The user asks about rain.").summary.through
        1
        """
        call = _operations.summarize_conversation(
            conversation_id,
            through,
            content,
            token_count=token_count,
            if_match=if_match,
        )
        return await self._run(call)

    async def get_summary(
        self,
        conversation_id: Id,
        *,
        if_none_match: str | None = None,
    ) -> SummaryText:
        """The newest summary of a conversation, with its text. `NotFound` is raised if there is none.

        Args:
            conversation_id: the conversation.
            if_none_match: raise `NotModified` if the conversation still has this version.

        >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> summarized = client.summarize_conversation(conversation.id, question.position, "The user asks about rain.")
        >>> summary = client.get_summary(conversation.id)
        >>> summary.through, summary.content, summary.version == summarized.version
        (1, 'The user asks about rain.', True)
        """
        call = _operations.get_summary(
            conversation_id,
            if_none_match=if_none_match,
        )
        return await self._run(call)

    async def delete_summary(
        self,
        conversation_id: Id,
        *,
        if_match: str | None = None,
    ) -> None:
        """Deletes the newest summary of a conversation. An older one takes its place, if there is one.

        With `if_match`, the summary is deleted only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> summarized = client.summarize_conversation(conversation.id, question.position, "The user asks about rain.")
        >>> client.delete_summary(conversation.id)
        >>> print(client.get_conversation(conversation.id).summary)
        None
        """
        call = _operations.delete_summary(
            conversation_id,
            if_match=if_match,
        )
        return await self._run(call)

    async def delete_conversation(
        self,
        conversation_id: Id,
        *,
        if_match: str | None = None,
    ) -> None:
        """Deletes a conversation and its messages.

        >>> client.delete_conversation(conversation.id)
        >>> client.get_conversation(conversation.id)
        Traceback (most recent call last):
            ...
        scrollback.errors.NotFound: no such conversation or message (404, not_found, request ...)
        """
        call = _operations.delete_conversation(
            conversation_id,
            if_match=if_match,
        )
        return await self._run(call)

    async def add_message(
        self,
        conversation_id: Id,
        role: Role | str,
        content: Content | None = None,
        *,
        tool_calls: ToolCalls | None = None,
        id: Id | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        token_count: int | None = None,
        status: Status | None = None,
        refusal: str | None = None,
        annotations: Sequence[Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        function_call: Mapping[str, Any] | None = None,
        reasoning_content: str | None = None,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        if_match: str | None = None,
    ) -> Message:
        """Stores a message at the end of a conversation, exactly once.

        Args:
            conversation_id: the conversation.
            role: who speaks: `user`, `assistant`, `tool`, `system` or `developer`.
            content: text, or content parts.
            tool_calls: the model's calls to tools. Either this or `content` is required.
            id: the message's id. Without it, the client makes one. Pass your own if your program may repeat the call itself.
            tool_call_id: the call that a tool's message answers.
            name: the speaker's or the tool's name.
            metadata: your own data about the message.
            token_count: how many tokens it has, as you counted them. `get_context` counts with it instead of an estimate.
            status: `in_progress` for the beginning of a reply that is still being written. See `stream_reply`.
            refusal, annotations, audio, function_call, reasoning_content: what OpenAI's SDKs dump of a message besides. They come back in the
                message's `extra`.
            from_: replace the message at this position and all after it, in one transaction. A retry deletes nothing, because the message is
                stored already.
            parent_id: the message follows this one, or with None it is at the beginning. What followed before is kept as another version. See
                `select_line`.
            if_match: store it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> message.position, message.content
        (1, 'Is it raining in Oslo?')
        >>> call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        >>> client.add_message(conversation.id, "assistant", tool_calls=[call]).position
        2
        """
        call = _operations.add_message(
            conversation_id,
            role,
            content,
            tool_calls=tool_calls,
            id=id,
            tool_call_id=tool_call_id,
            name=name,
            metadata=metadata,
            token_count=token_count,
            status=status,
            refusal=refusal,
            annotations=annotations,
            audio=audio,
            function_call=function_call,
            reasoning_content=reasoning_content,
            from_=from_,
            parent_id=parent_id,
            if_match=if_match,
        )
        return await self._run(call)

    async def add_messages(
        self,
        conversation_id: Id,
        messages: Iterable[NewMessage | Mapping[str, Any]],
        *,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        if_match: str | None = None,
    ) -> Page[Message]:
        """Stores 1 to 500 messages at the end of a conversation: all or none, in this order, at adjacent positions.

        A message is a `NewMessage`, or a mapping with the same fields, such as a Chat Completions message. One without an id gets one.
        Messages that are stored already with the same content are not stored again.

        With `from_`, they replace the message at that position and all after it, in one transaction. With `parent_id`, they follow that
        message, and what followed it before is kept as another version. None is the beginning.

        >>> call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        >>> stored = client.add_messages(
        ...     conversation.id,
        ...     [
        ...         {"role": "assistant", "content": None, "tool_calls": [call]},
        ...         NewMessage("tool", "rain", tool_call_id="call_1", name="weather"),
        ...     ],
        ... )
        >>> [message.position for message in stored]
        [1, 2]
        """
        call = _operations.add_messages(
            conversation_id,
            messages,
            from_=from_,
            parent_id=parent_id,
            if_match=if_match,
        )
        return await self._run(call)

    def get_chat_history(
        self,
        conversation_id: Id,
        *,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        last: int | None = None,
        include: Literal["versions"] | None = None,
        line: Id | None = None,
        all: bool = False,
        if_none_match: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Message]:
        """A conversation's messages, in chronological order. They are requested page by page, while you iterate.

        Args:
            conversation_id: the conversation.
            limit: how many messages at most, in all.
            after: only messages behind this position.
            before: only messages before this position.
            order: `desc` for the newest first.
            last: the newest so many (1 to 1000), still in chronological order. It excludes `limit`, `after`, `before` and `order`.
            include: `versions` fills in the `versions` of each message.
            line: read the path that ends with this message, whether it is on the current line or not.
            all: read all messages, also those that are kept beside the current line. See `tree`.
            if_none_match: raise `NotModified` if the conversation still has this version. `first_page().version` is the current one.
            page_size: how many messages a request asks for, 1 to 1000. Without it, as many as fit in a response.

        >>> for text in ("Hello", "Are you there?"):
        ...     message = client.add_message(conversation.id, "user", text)
        >>> [message.content for message in client.get_chat_history(conversation.id)]
        ['Hello', 'Are you there?']
        >>> [message.content for message in client.get_chat_history(conversation.id, last=1)]
        ['Are you there?']
        """
        call = _operations.get_chat_history(
            conversation_id,
            limit=limit,
            after=after,
            before=before,
            order=order,
            last=last,
            include=include,
            line=line,
            all=all,
            if_none_match=if_none_match,
            page_size=page_size,
        )
        return AsyncPages(self._run, call)

    def tree(
        self,
        conversation_id: Id,
        *,
        limit: int | None = None,
        after: int | None = None,
        before: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        last: int | None = None,
        if_none_match: str | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Message]:
        """All messages of a conversation, also those that are kept beside its current line, by their positions.

        Each one has its `parent_id`, and `on_line` says whether it is on the line. A parent comes before the messages that follow it. The
        parameters are those of `get_chat_history`.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> for text in ("No.", "Yes."):
        ...     answer = client.add_message(conversation.id, "assistant", text, parent_id=question.id)
        >>> for message in client.tree(conversation.id):
        ...     print(message.content, message.parent_id == question.id, message.on_line)
        Is it raining? False True
        No. True False
        Yes. True True
        """
        call = _operations.tree(
            conversation_id,
            limit=limit,
            after=after,
            before=before,
            order=order,
            last=last,
            if_none_match=if_none_match,
            page_size=page_size,
        )
        return AsyncPages(self._run, call)

    async def select_line(
        self,
        conversation_id: Id,
        message_id: Id | None,
        *,
        newest: bool = False,
        if_match: str | None = None,
    ) -> Conversation:
        """Goes to another version of a message: the current line then ends with it, or goes on below it.

        Histories, contexts, searches and counts are about the current line. What leaves the line is kept.

        Args:
            conversation_id: the conversation.
            message_id: the last message of the line. None is the beginning of the conversation.
            newest: the line goes on below that message, to the newest message at each step.
            if_match: do it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> for text in ("No.", "Yes."):
        ...     answer = client.add_message(conversation.id, "assistant", text, parent_id=question.id)
        >>> first, second = client.get_message(conversation.id, answer.id, include="versions").versions
        >>> client.select_line(conversation.id, first, newest=True).kept_count
        1
        >>> [message.content for message in client.get_chat_history(conversation.id)]
        ['Is it raining?', 'No.']
        """
        call = _operations.select_line(
            conversation_id,
            message_id,
            newest=newest,
            if_match=if_match,
        )
        return await self._run(call)

    async def rewind_conversation(
        self,
        conversation_id: Id,
        *,
        from_: int | None = None,
        if_match: str | None = None,
    ) -> Rewound:
        """Deletes a message and all after it, so that a reply can be generated again.

        Args:
            conversation_id: the conversation.
            from_: the position of the first message to delete. Without it, all messages are deleted.
            if_match: delete them only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> question = client.add_message(conversation.id, "user", "Is it raining?")
        >>> reply = client.add_message(conversation.id, "assistant", "No.")
        >>> client.rewind_conversation(conversation.id, from_=reply.position, if_match=reply.version).deleted
        1
        """
        call = _operations.rewind_conversation(
            conversation_id,
            from_=from_,
            if_match=if_match,
        )
        return await self._run(call)

    async def get_message(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        skip: int | None = None,
        wait: int | None = None,
        include: Literal["versions"] | None = None,
        if_none_match: str | None = None,
    ) -> Message:
        """A message. A reader of a reply that is still being written calls this again and again.

        Args:
            conversation_id: the conversation.
            message_id: the message.
            skip: how many characters of the content you have already. The answer has only what comes behind them.
            wait: with `if_none_match`, wait for so many seconds (1 to 20) until there is something new, or the reply ends.
            include: `versions` fills in the message's `versions`.
            if_none_match: raise `NotModified` if the conversation still has this version.

        >>> message = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
        >>> piece = client.update_message(conversation.id, message.id, append="ing.", at=10, status="complete")
        >>> rest = client.get_message(conversation.id, message.id, skip=10)
        >>> rest.content, rest.status
        ('ing.', 'complete')
        """
        call = _operations.get_message(
            conversation_id,
            message_id,
            skip=skip,
            wait=wait,
            include=include,
            if_none_match=if_none_match,
        )
        return await self._run(call)

    async def delete_message(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        if_match: str | None = None,
    ) -> None:
        """Deletes a message. The others keep their positions, and those that followed it follow its parent.

        With `if_match`, the message is deleted only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> message = client.add_message(conversation.id, "user", "Hello")
        >>> client.delete_message(conversation.id, message.id)
        >>> client.get_conversation(conversation.id).message_count
        0
        """
        call = _operations.delete_message(
            conversation_id,
            message_id,
            if_match=if_match,
        )
        return await self._run(call)

    async def update_message(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        content: Content | Unset | None = UNSET,
        tool_calls: ToolCalls | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        token_count: int | Unset | None = UNSET,
        feedback: Mapping[str, Any] | Unset | None = UNSET,
        append: str | None = None,
        at: int | None = None,
        status: Status | None = None,
        if_match: str | None = None,
    ) -> Message:
        """Edits a message, which keeps its position.

        A field that is left out stays as it is. None clears a field. New content without a new `token_count` clears the count.

        Args:
            conversation_id: the conversation.
            message_id: the message.
            content: the new text or content parts.
            tool_calls: the new calls.
            metadata: merged into the message's metadata, member by member (RFC 7396). A member that is None is deleted.
            token_count: how many tokens it has, as you counted them.
            feedback: what the conversation's user thinks of the message, such as `{"rating": "up", "comment": "Just right"}`. A rating is `up`,
                `down` or None. It changes no context.
            append: the next piece of a reply that is being written, with `at`. A piece that is there already is not appended again.
            at: how many characters the content has before the piece. If it has another number, `Conflict` is raised, with `length`.
            status: `complete` ends a reply that was being written, and so does `cancelled`. See `cancel_reply`.
            if_match: edit it only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> message = client.add_message(conversation.id, "user", "Is it raining in Olso?")
        >>> client.update_message(conversation.id, message.id, content="Is it raining in Oslo?").content
        'Is it raining in Oslo?'
        """
        call = _operations.update_message(
            conversation_id,
            message_id,
            content=content,
            tool_calls=tool_calls,
            metadata=metadata,
            token_count=token_count,
            feedback=feedback,
            append=append,
            at=at,
            status=status,
            if_match=if_match,
        )
        return await self._run(call)

    async def cancel_reply(
        self,
        conversation_id: Id,
        message_id: Id,
    ) -> Message:
        """Stops a reply that is being written, for the person who reads it. The reply keeps what it has, and contexts have it.

        A reply that is cancelled already stays as it is. `Conflict` is raised if the message is complete. The writer's next piece raises
        `Cancelled`. A user's own token may cancel, whatever roles it may write.

        >>> reply = client.add_message(conversation.id, "assistant", "It is rain", status="in_progress")
        >>> client.cancel_reply(conversation.id, reply.id).status
        'cancelled'
        """
        call = _operations.cancel_reply(
            conversation_id,
            message_id,
        )
        return await self._run(call)

    @overload
    async def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["messages"] = "messages",
        if_none_match: str | None = None,
    ) -> Context[Message]: ...
    @overload
    async def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["openai", "anthropic", "responses", "gemini", "converse"],
        if_none_match: str | None = None,
    ) -> Context[dict[str, Any]]: ...
    @overload
    async def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"],
        if_none_match: str | None = None,
    ) -> Context[Any]: ...
    async def get_context(
        self,
        conversation_id: Id,
        *,
        max_messages: int | None = None,
        max_chars: int | None = None,
        max_tokens: int | None = None,
        step: int | None = None,
        tool_results: int | None = None,
        unanswered: Literal["answer", "drop"] | None = None,
        call_ids: Literal["fit", "keep"] | None = None,
        line: Id | None = None,
        format: Literal["messages", "openai", "anthropic", "responses", "gemini", "converse"] = "messages",
        if_none_match: str | None = None,
    ) -> Context[Any]:
        """What to send to a model: the leading instructions and the newest messages that fit. Every tool call has its results.

        Args:
            conversation_id: the conversation.
            max_messages: how many messages at most, the instructions included.
            max_chars: how many characters of `content` and `tool_calls` at most.
            max_tokens: how many tokens at most: each message's `token_count`, or else an estimate.
            step: how much is appended, in what the limit counts, before the start of the messages moves. So a prompt cache is hit.
            tool_results: how many tool results, the newest, keep their contents.
            unanswered: what happens to a call that was interrupted. `answer` (the default) adds a result, and `drop` leaves the call out.
            call_ids: what happens to the ids of calls in other formats than `messages`. `fit` (the default) makes them unique and as the API
                takes them, and `keep` leaves them alone.
            line: the context of the path that ends with this message, as if the current line ended there.
            format: `messages` for `Message` objects, or dictionaries as an API takes them: `openai` (Chat Completions), `anthropic`
                (Messages), `responses` (OpenAI's Responses), `gemini` (Google's `contents`) or `converse` (Amazon Bedrock's Converse, whose
                bytes are base64 here and `bytes` in boto3).
            if_none_match: raise `NotModified` if the conversation still has this version.

        >>> message = client.add_message(conversation.id, "user", "Is it raining in Oslo?")
        >>> client.get_context(conversation.id, max_messages=50, format="openai").messages
        ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
        """
        call = _operations.get_context(
            conversation_id,
            max_messages=max_messages,
            max_chars=max_chars,
            max_tokens=max_tokens,
            step=step,
            tool_results=tool_results,
            unanswered=unanswered,
            call_ids=call_ids,
            line=line,
            format=format,
            if_none_match=if_none_match,
        )
        return await self._run(call)

    async def turn(
        self,
        conversation_id: Id,
        role: Role | str | None = None,
        content: Content | None = None,
        *,
        messages: Iterable[NewMessage | Mapping[str, Any]] | None = None,
        tool_calls: ToolCalls | None = None,
        id: Id | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        token_count: int | None = None,
        status: Status | None = None,
        refusal: str | None = None,
        annotations: Sequence[Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        function_call: Mapping[str, Any] | None = None,
        reasoning_content: str | None = None,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        reply_id: Id | bool | None = None,
        conversation: TurnConversation | None = None,
        context: ContextFields | None = None,
        if_match: str | None = None,
    ) -> Turn:
        """Begins a turn, in one request: stores what the user said, and returns what to send to the model.

        All of it is done, or nothing. Then `add_message` stores the answer, or `stream_reply(turn)` does, while the model writes it.

        Args:
            conversation_id: the conversation. To create it, pass `conversation` and an id from `new_id()`.
            role, content: the message, as `add_message` takes it.
            messages: several messages, as `add_messages` takes them, in place of one. Then the fields of a message are left out.
            tool_calls, tool_call_id, name, metadata, token_count, status: fields of the message.
            id: the message's id. Without it, the client makes one. Pass your own, and that of the reply, if your program may repeat the call.
            refusal, annotations, audio, function_call, reasoning_content: fields of the message.
            from_: replace the message at this position and all after it.
            parent_id: the messages follow this one, as in `add_message`.
            reply_id: True stores an empty reply behind the messages, whose status is `in_progress`, so that a page that is loaded from now on
                can follow it. The client makes its id, unless this is one.
            conversation: the conversation is created if it is not there, with these fields. Another user's is a `Conflict`.
            context: the parameters of `get_context`, such as `{"format": "openai", "max_tokens": 8000}`.
            if_match: begin only if the conversation still has this version. Otherwise `PreconditionFailed` is raised.

        >>> turn = client.turn(
        ...     new_id(),
        ...     "user",
        ...     "Is it raining in Oslo?",
        ...     conversation={"user_id": "ada", "title": "Umbrellas"},
        ...     context={"format": "openai"},
        ... )
        >>> turn.context.messages
        ({'role': 'user', 'content': 'Is it raining in Oslo?'},)
        >>> client.add_message(turn.conversation.id, "assistant", "Yes.").position
        2
        """
        call = _operations.turn(
            conversation_id,
            role,
            content,
            messages=messages,
            tool_calls=tool_calls,
            id=id,
            tool_call_id=tool_call_id,
            name=name,
            metadata=metadata,
            token_count=token_count,
            status=status,
            refusal=refusal,
            annotations=annotations,
            audio=audio,
            function_call=function_call,
            reasoning_content=reasoning_content,
            from_=from_,
            parent_id=parent_id,
            reply_id=reply_id,
            conversation=conversation,
            context=context,
            if_match=if_match,
        )
        return await self._run(call)

    def get_user_conversations(
        self,
        user_id: str,
        *,
        order: Literal["updated", "activity"] | None = None,
        title: str | None = None,
        metadata: Mapping[str, str | int] | None = None,
        archived: bool | None = None,
        pinned: bool | None = None,
        ids: Iterable[Id] | None = None,
        include: Literal["last_message"] | None = None,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[Conversation]:
        """A user's conversations, the most recently updated first. They are requested page by page, while you iterate.

        A conversation is listed if it passes all filters. A page of a filtered list may have few conversations or none, and others may follow.

        Args:
            user_id: the user. One who is not known has no conversations.
            order: `activity` orders by `last_message_at`, which only new messages move. The default is `updated`.
            title: a part of the title, in upper or lower case.
            metadata: members of the conversation's metadata that have these values. The API compares them as text.
            archived: whether they are archived. Both, if it is left out.
            pinned: whether they are pinned. Both, if it is left out.
            ids: only these conversations, up to 100.
            include: `last_message` fills in the `last_message` of each conversation.
            limit: how many conversations at most, in all.
            page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

        >>> [found.id == conversation.id for found in client.get_user_conversations("ada", limit=1)]
        [True]
        >>> message = client.add_message(conversation.id, "user", "Hello")
        >>> changed = client.update_conversation(conversation.id, metadata={"project": "rain"}, pinned=True)
        >>> sidebar = client.get_user_conversations(
        ...     "ada", order="activity", metadata={"project": "rain"}, pinned=True, include="last_message", limit=1
        ... )
        >>> [found.last_message.content for found in sidebar]
        ['Hello']
        """
        call = _operations.get_user_conversations(
            user_id,
            order=order,
            title=title,
            metadata=metadata,
            archived=archived,
            pinned=pinned,
            ids=ids,
            include=include,
            limit=limit,
            page_size=page_size,
        )
        return AsyncPages(self._run, call)

    def search_messages(
        self,
        user_id: str,
        q: str,
        *,
        limit: int | None = None,
        page_size: int | None = None,
    ) -> AsyncPages[SearchHit]:
        """Searches a user's messages, the newest first. The hits are requested page by page, while you iterate.

        Args:
            user_id: the user.
            q: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives. Sentence marks around a word do not matter.
            limit: how many hits at most, in all.
            page_size: how many a request asks for, 1 to 1000. Without it, as many as fit in a response.

        >>> message = client.add_message(conversation.id, "user", "Take an umbrella.")
        >>> [hit.snippet for hit in client.search_messages("ada", "umbrella -snow", limit=1)]
        ['Take an **umbrella**.']
        >>> [hit.snippet[start:end] for hit in client.search_messages("ada", "umbrella", limit=1) for start, end in hit.highlights]
        ['umbrella']
        """
        call = _operations.search_messages(
            user_id,
            q,
            limit=limit,
            page_size=page_size,
        )
        return AsyncPages(self._run, call)

    async def erase_user(
        self,
        user_id: str,
    ) -> Erased:
        """Deletes everything that is stored about a user. For a user who is not known, the answer is zeros.

        A very large user takes several requests. The client sends them, and adds up their counts. Nothing of the user can be read from the
        first one on. If the call is interrupted, the same call goes on.
        If an attempt's answer was lost, its counts are missing.

        >>> client.get_or_create_conversation("mallory").message_count
        0
        >>> client.erase_user("mallory")
        Erased(conversations=1, messages=0)
        """
        call = _operations.erase_user(
            user_id,
        )
        return await drive_async(self._run, call)

    async def transfer_user(
        self,
        user_id: str,
        to: str,
    ) -> Transferred:
        """Makes a user's conversations another user's, as when a guest signs in. It takes a token with the service scope.

        A very large user takes several requests. The client sends them, and adds up their counts. If the call is interrupted, the same call
        goes on.
        If an attempt's answer was lost, its counts are missing.

        Args:
            user_id: the user who has the conversations. One who is not known is a zero.
            to: the user who gets them.

        >>> guest = client.get_or_create_conversation("guest-4711", new=True)
        >>> client.transfer_user("guest-4711", "ada")
        Transferred(conversations=1)
        >>> client.get_conversation(guest.id).user_id
        'ada'
        """
        call = _operations.transfer_user(
            user_id,
            to,
        )
        return await drive_async(self._run, call)

    def export_user(
        self,
        user_id: str,
    ) -> AsyncPages[bytes]:
        """Everything that is stored for a user, as lines of JSON. They are requested page by page, while you iterate.

        A line is the bytes of a JSON object, with the line break at its end. It has a `conversation` with its `summaries`, or a `message`. The
        messages of a conversation follow its line. `import_user` stores the same lines again, byte for byte.

        `file.writelines(client.export_user(user_id))` writes a file that is opened with the mode `wb`.

        Args:
            user_id: the user. One who is not known has no lines.

        >>> import json
        >>> chat = client.get_or_create_conversation("lin", new=True)
        >>> message = client.add_message(chat.id, "user", "Hello")
        >>> lines = client.export_user("lin").all()
        >>> [list(json.loads(line)) for line in lines]
        [['conversation', 'summaries', 'next_position'], ['message']]
        >>> client.erase_user("lin")
        Erased(conversations=1, messages=1)
        >>> client.import_user("lin", lines)
        Imported(conversations=1, messages=1, skipped=0, expired=0)
        >>> client.export_user("lin").all() == lines
        True
        >>> client.erase_user("lin")
        Erased(conversations=1, messages=1)
        """
        call = _operations.export_user(
            user_id,
        )
        return AsyncPages(self._run, call)

    async def import_user(
        self,
        user_id: str,
        lines: Iterable[bytes | str] | AsyncIterable[bytes | str],
    ) -> Imported:
        """Stores the lines of an export for a user. It takes a token with the service scope.

        Ids, positions, times and all else are kept. Lines that are stored already are skipped, so the call can be repeated. Conversations that
        have expired are left out.

        The lines are sent while they are read, in requests of 4 MiB and 5000 lines at most. All lines of a request are stored, or none. If a
        line is refused, `param` of the exception has its number, and the requests before it are stored.
        If an attempt's answer was lost, what it stored is counted as skipped.

        Args:
            user_id: the user who gets the conversations.
            lines: the lines in the order of the export: a file that is opened with the mode `rb`, or another client's `export_user(...)`.
                `AsyncClient` takes an asynchronous iterable, too. Empty lines are left out.

        >>> chat = client.get_or_create_conversation("katherine", new=True)
        >>> with Client(server_url) as another:
        ...     client.import_user("katherine", another.export_user("katherine"))
        Imported(conversations=0, messages=0, skipped=1, expired=0)
        >>> client.erase_user("katherine")
        Erased(conversations=1, messages=0)
        """
        call = _operations.import_user_async(
            self._run,
            user_id,
            lines,
        )
        return await call

    def stream_reply(
        self,
        conversation_id: Id | Turn,
        *,
        role: Role | str = "assistant",
        id: Id | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        from_: int | None = None,
        parent_id: Id | Unset | None = UNSET,
        if_match: str | None = None,
        flush_seconds: float = 0.5,
        flush_characters: int = 2000,
    ) -> AsyncReply:
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
        call = _reply.stream_reply(
            conversation_id,
            role=role,
            id=id,
            name=name,
            metadata=metadata,
            from_=from_,
            parent_id=parent_id,
            if_match=if_match,
            flush_seconds=flush_seconds,
            flush_characters=flush_characters,
        )
        return AsyncReply(self._run, call)

    def follow_reply(
        self,
        conversation_id: Id,
        message_id: Id,
        *,
        skip: int = 0,
        interval: float = 0.2,
    ) -> AsyncFollowing:
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
        call = _reply.follow_reply(
            conversation_id,
            message_id,
            skip=skip,
            interval=interval,
        )
        return AsyncFollowing(self._run, call)
