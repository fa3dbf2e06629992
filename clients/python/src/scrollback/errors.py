"""What can go wrong: one exception class for each problem that a program may want to handle.

An error never holds what a user or a model said. Its text can be logged.
"""

from __future__ import annotations

__all__ = [
    "AmbiguousParameter",
    "BadRequest",
    "Cancelled",
    "Conflict",
    "DatabaseError",
    "Forbidden",
    "InternalError",
    "InvalidBody",
    "InvalidCharacter",
    "InvalidParameter",
    "InvalidResponse",
    "InvalidUuid",
    "MissingParameter",
    "NoResponse",
    "NotFound",
    "NotModified",
    "PayloadTooLarge",
    "PreconditionFailed",
    "ScrollbackError",
    "ServerError",
    "TooManyRequests",
    "Unauthenticated",
    "UnknownParameter",
    "UnsupportedMediaType",
]


class ScrollbackError(Exception):
    """A request that did not succeed.

    Attributes:
        detail: what was wrong and what would be right, for people.
        status: the HTTP status. None if there was no response.
        code: the API's stable name of the problem, such as `not_found`. None if the response had none.
        param: the field at fault, such as `messages[3].role`.
        request_id: the id under which the server's log has the request.
        maybe_done: whether an attempt of this write may have taken effect. True after an attempt that got no answer, or a 5xx.

    >>> from scrollback import ScrollbackError
    >>> try:
    ...     client.add_message(conversation.id, "robot", "Hello")
    ... except ScrollbackError as error:
    ...     print(error.status, error.code, error.param)
    400 invalid_parameter role
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        maybe_done: bool = False,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.maybe_done = maybe_done

    def __str__(self) -> str:
        facts = [str(fact) for fact in (self.status, self.code, self.param) if fact is not None]
        if self.request_id is not None:
            facts.append(f"request {self.request_id}")
        return f"{self.detail} ({', '.join(facts)})" if facts else self.detail


class BadRequest(ScrollbackError):
    """400: something in the request is malformed."""


class InvalidUuid(BadRequest):
    """400 `invalid_uuid`: an id is not a UUID."""


class InvalidParameter(BadRequest):
    """400 `invalid_parameter`: a field has a value that is not allowed."""


class InvalidBody(BadRequest):
    """400 `invalid_body`: the body is not what the endpoint reads."""


class InvalidCharacter(BadRequest):
    """400 `invalid_character`: a text has U+0000 or half of a surrogate pair in it."""


class AmbiguousParameter(BadRequest):
    """400 `ambiguous_parameter`: a field is given twice."""


class MissingParameter(BadRequest):
    """400 `missing_parameter`: a required field is not there."""


class UnknownParameter(BadRequest):
    """400 `unknown_parameter`: the endpoint has no such field."""


class Unauthenticated(ScrollbackError):
    """401: there is no token, or it is not valid."""


class Forbidden(ScrollbackError):
    """403: the token may not act for this user, or may not write this role. `param` names the field with the role."""


class NotFound(ScrollbackError):
    """404: there is no such conversation or message, or it belongs to another user."""


class Conflict(ScrollbackError):
    """409: the id exists with other content, or belongs to another user. Or a piece of a reply belongs at another place.

    Attributes:
        length: how many characters the content has that a piece did not fit. None if the conflict is about an id.
    """

    length: int | None = None


class Cancelled(Conflict):
    """409 `cancelled`: the reply was cancelled, and takes no more. Stop the model."""


class PreconditionFailed(ScrollbackError):
    """412: the conversation has changed since the version that `if_match` names.

    If `maybe_done` is true, the change may be the one that this call asked for: its answer was lost, and it was sent again.
    """


class PayloadTooLarge(ScrollbackError):
    """413: a field or the whole request is too large. `detail` says what the limit is."""


class UnsupportedMediaType(ScrollbackError):
    """415: the body is not JSON."""


class TooManyRequests(ScrollbackError):
    """429: the API's throttle refuses the request. The client has tried several times already."""


class ServerError(ScrollbackError):
    """5xx: the server failed. The client has tried several times already."""


class DatabaseError(ServerError):
    """500 `database_error`: the server's database failed."""


class InternalError(ServerError):
    """500 `internal_error`: anything else failed in the server."""


class NoResponse(ScrollbackError):
    """There was no complete response: no connection, a lost one, or a time-out. `__cause__` has httpx's exception."""


class InvalidResponse(ScrollbackError):
    """The response is not one of Scrollback's. Is the base URL right?"""


class NotModified(ScrollbackError):
    """304: nothing has changed since the version that `if_none_match` names."""


_BY_CODE: dict[str, type[ScrollbackError]] = {
    "invalid_uuid": InvalidUuid,
    "invalid_parameter": InvalidParameter,
    "invalid_body": InvalidBody,
    "invalid_character": InvalidCharacter,
    "ambiguous_parameter": AmbiguousParameter,
    "missing_parameter": MissingParameter,
    "unknown_parameter": UnknownParameter,
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "not_found": NotFound,
    "conflict": Conflict,
    "cancelled": Cancelled,
    "precondition_failed": PreconditionFailed,
    "payload_too_large": PayloadTooLarge,
    "unsupported_media_type": UnsupportedMediaType,
    "database_error": DatabaseError,
    "internal_error": InternalError,
}

# API Gateway answers some requests itself, without a code. A code that this release does not know has its status's class, too.
_BY_STATUS: dict[int, type[ScrollbackError]] = {
    304: NotModified,
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    413: PayloadTooLarge,
    415: UnsupportedMediaType,
    429: TooManyRequests,
}


def class_for(status: int, code: str | None) -> type[ScrollbackError]:
    """The class of the error with this status and code."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status >= 500:
        return ServerError
    return _BY_STATUS.get(status, ScrollbackError)
