"""What Schemathesis (.ci/fuzz-http) can't read in openapi.yaml, because OpenAPI has no words for it: rules between fields, above all."""

import base64
import copy
import re

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData, UnsupportedMethodResponse, UseAfterFree

NOT_FOUND = '{"message":"Not Found"}'
MESSAGE = ("role", "content", "tool_calls", "id", "tool_call_id", "name", "metadata", "token_count", "status")


def cursor(of, position):
    """A cursor as shared/src/models/cursor.rs writes it. It is in the year 2100, so that what comes behind it is everything."""
    bytes_ = bytes([of]) + (4102444800000000).to_bytes(8, "big") + bytes(16) + position.to_bytes(8, "big", signed=True)
    return base64.urlsafe_b64encode(bytes_).decode().rstrip("=")


# Of each list. A list by activity has its own.
CURSORS = {"get-user-conversations": cursor(1, 0), "search-messages": cursor(3, 0), "export-user": cursor(4, 0)}
ACTIVITY_CURSOR = cursor(2, -1)

# Valid values that are refused for what is stored, or for another value. `through`: where a summary can end depends on the conversation.
# `at`: a fork ends at the newest message at the latest. `from`: only a string has characters to skip, and a replacement begins at the next
# position at the latest. `to`: another user.
REFUSABLE = {"summarize-conversation": "through", "fork-conversation": "through", "get-message": "skip", "transfer-user": "to",
             "add-message": "from", "begin-turn": "from"}


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """A text as it is."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Three failures that are none."""
    # These delete what is in a list. The list itself can be read afterwards, and is empty.
    lists = ("DELETE /conversations/{conversation_id}/messages", "DELETE /users/{user_id}",
             "DELETE /conversations/{conversation_id}/summary")
    emptied = isinstance(failure, UseAfterFree) and failure.operation in lists
    # An HTTP API of API Gateway has no 405: a method without a route is a 404 like a path without one.
    no_route = isinstance(failure, UnsupportedMethodResponse) and (response.status_code, response.text) == (404, NOT_FOUND)
    operation = case.operation.definition.raw["operationId"]
    refusable = f'"param":"{REFUSABLE.get(operation)}"' in response.text
    # OpenAPI cannot say what each line of a text is.
    is_lines = operation == "import-user" and response.status_code == 400
    refused = isinstance(failure, RejectedPositiveData) and (refusable or is_lines)
    return not (emptied or no_route or refused)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes a request that is taken for valid keep to the rules. Those that are made to be refused are sent as they are."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # Cases share what they are made of.
    query = dict(case.query)
    body = copy.deepcopy(case.body) if isinstance(case.body, dict) else {}
    # If two fields exclude each other, the one that the request is about stays.
    about = case.meta.phase.data
    subject = about.parameter if about.parameter_location == ParameterLocation.QUERY else None

    if "messages" in body and body["messages"] is not None:
        for name in MESSAGE:
            query.pop(name, None)
        ids = set()
        for message in body["messages"]:
            if message.get("id") in ids:
                message.pop("id", None)
            ids.add(message.get("id"))
    for name in set(query) & set(body):
        del (body if name == subject else query)[name]

    operation = case.operation.definition.raw["operationId"]
    # Nothing changes meanwhile, so a second is as good as twenty.
    if operation == "get-message" and "wait" in query:
        query["wait"] = 1
    if operation == "get-or-create-conversation":
        require(query, body, "user_id", "ada")
    if operation == "add-message" and body.get("messages") is None:
        require(query, body, "role", "user")
        if absent(query, body, "tool_calls"):
            require(query, body, "content", "Is it raining in Oslo?")
    if operation == "begin-turn":
        if body.get("messages") is None and absent({}, body, "tool_calls"):
            body["content"] = body.get("content") or "Is it raining in Oslo?"
        if isinstance(body.get("conversation"), dict) and body["conversation"].get("user_id") is None:
            body["conversation"]["user_id"] = "ada"
        if body.get("reply_id") in {body.get("id"), *(message.get("id") for message in body.get("messages") or [])}:
            body.pop("reply_id", None)
    if operation in ("add-message", "begin-turn") and said(query, body, "parent_id") and not absent(query, body, "from"):
        # Each names a place. A null parent is one, too.
        for fields in (query, body):
            fields.pop("parent_id" if subject == "from" else "from", None)
    if operation == "get-chat-history" and "line" in query and str(query.get("all")).lower() == "true":
        query.pop("line" if subject == "all" else "all")
    if operation == "select-line" and not said(query, body, "message_id"):
        if isinstance(case.body, dict):
            body["message_id"] = None
        else:
            query["message_id"] = "01936b2e-5f01-7000-8000-000000000002"
    if operation == "summarize-conversation":
        require(query, body, "through", 1)
        require(query, body, "content", "It rains.")
    if operation == "transfer-user":
        require(query, body, "to", "grace")
    if operation == "update-message":
        # A piece needs its place, and content that is a text of that length. What is stored is not known here.
        for name in ("append", "at"):
            query.pop(name, None)
            body.pop(name, None)
    if operation == "update-message" and (is_null(query, body, "content") or is_null(query, body, "tool_calls")):
        # What is stored may have nothing but what this takes away.
        if absent(query, body, "tool_calls"):
            require(query, body, "content", "Is it raining in Oslo?")
    if operation == "get-chat-history" and "last" in query and len(query) > 1:
        for name in ("limit", "after", "before", "order") if subject == "last" else ("last",):
            query.pop(name, None)
    if operation == "search-messages" and not searchable(str(query.get("q"))):
        query["q"] = "rain"
    if "cursor" in query:
        query["cursor"] = ACTIVITY_CURSOR if query.get("order") == "activity" else CURSORS[operation]
    case.query = query
    if isinstance(case.body, dict):
        case.body = body
    if case.headers and case.headers.get("If-Match") == '"17"':
        # The example's version is not the one that is stored.
        case.headers["If-Match"] = "*"


def is_null(query, body, name):
    return query.get(name, "") in (None, "null") or body.get(name, "") is None


def absent(query, body, name):
    return query.get(name) in (None, "null") and body.get(name) is None


def said(query, body, name):
    """Where null says something."""
    return name in query or name in body


def require(query, body, name, value):
    if absent(query, body, name):
        (body if name in body else query)[name] = value


def searchable(text):
    words = re.findall(r'[^\s"]+', text)
    return len(words) <= 16 and any(any(map(str.isalnum, word)) and word.lower() != "or" for word in words)
