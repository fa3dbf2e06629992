"""The client for Scrollback, the chat history API.

`Client` and `AsyncClient` have a method for each endpoint. `Session` and the four functions are Scrollback's first interface.

>>> with Client(server_url) as client:
...     conversation = client.get_or_create_conversation("ada")
...     message = client.add_message(conversation.id, "user", "Hello!")
...     client.get_context(conversation.id, max_messages=50, format="openai").messages[-1]
{'role': 'user', 'content': 'Hello!'}
"""

from . import errors
from ._client import AsyncClient, Client
from ._exchange import Retry
from ._ids import new_id
from ._operations import UNSET
from ._pages import AsyncPages, Pages
from ._reply import AsyncFollowing, AsyncReply, Following, Reply
from ._seed import Session, add_message, get_chat_history, get_or_create_conversation, get_user_conversations
from .errors import *  # noqa: F403
from .models import (
    Content,
    Context,
    ContextFields,
    Conversation,
    Erased,
    ForkedFrom,
    Imported,
    Message,
    NewMessage,
    Page,
    Rewound,
    Role,
    SearchHit,
    Summary,
    SummaryText,
    ToolCalls,
    Transferred,
    Turn,
    TurnConversation,
)

__version__ = "0.1.0"

__all__ = [
    "UNSET",
    "AsyncClient",
    "AsyncFollowing",
    "AsyncPages",
    "AsyncReply",
    "Client",
    "Content",
    "Context",
    "ContextFields",
    "Conversation",
    "Erased",
    "Following",
    "ForkedFrom",
    "Imported",
    "Message",
    "NewMessage",
    "Page",
    "Pages",
    "Reply",
    "Retry",
    "Rewound",
    "Role",
    "SearchHit",
    "Session",
    "Summary",
    "SummaryText",
    "ToolCalls",
    "Transferred",
    "Turn",
    "TurnConversation",
    "add_message",
    "get_chat_history",
    "get_or_create_conversation",
    "get_user_conversations",
    "new_id",
]
__all__ += errors.__all__
