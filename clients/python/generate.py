"""Writes src/scrollback/_methods.py: `python3 clients/python/generate.py`.

The clients' methods take what the functions of `_operations` and `_reply` take, and return what those say. Editors do not run the package,
so each method is written out with its parameters and its documentation, once for each client. A test compares the file.
"""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "src" / "scrollback"
TARGET = SOURCE / "_methods.py"

HEAD = '''\
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
'''

CLASS = '''

class {prefix}Methods:
    """What `{prefix}Client` does, but for how it sends a request."""

    {definition} _run(self, operation: Operation[T], /, *, patience: tuple[float, int] | None = None) -> T:
        raise NotImplementedError
'''

# What a function returns: what its method returns in each client, and how it makes that of the function's result.
KINDS = {
    "Operation": ("{0}", "self._run(call)", "{0}", "await self._run(call)"),
    "Series": ("{0}", "drive(self._run, call)", "{0}", "await drive_async(self._run, call)"),
    "Listing": ("Pages[{0}]", "Pages(self._run, call)", "AsyncPages[{0}]", "AsyncPages(self._run, call)"),
    "Stream": ("Reply", "Reply(self._run, call)", "AsyncReply", "AsyncReply(self._run, call)"),
    "Reading": ("Following", "Following(self._run, call)", "AsyncFollowing", "AsyncFollowing(self._run, call)"),
}


def method(module: str, source: str, function: ast.FunctionDef, *, is_async: bool) -> str | None:
    """The method for a function, or None if the function is no operation."""
    kind = re.fullmatch(r"(\w+)(?:\[(.*)\])?", ast.unparse(function.returns) if function.returns else "")
    if function.name.startswith("_") or kind is None or kind[1] not in KINDS:
        return None
    returns, run = KINDS[kind[1]][2:] if is_async else KINDS[kind[1]][:2]
    is_overload = bool(function.decorator_list)
    call = f"{module}.{function.name}"
    parameters = ["self"]
    arguments: list[str] = []
    given = function.args
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    for parameter, default in zip(given.args + given.kwonlyargs, defaults + given.kw_defaults, strict=True):
        named = parameter in given.kwonlyargs
        if named and "*" not in parameters:
            parameters.append("*")
        annotation = ast.get_source_segment(source, parameter.annotation) if parameter.annotation else ""
        if is_async and function.name == "import_user" and parameter.arg == "lines":
            # No generator of operations can wait for these lines.
            annotation, call, run = f"{annotation} | AsyncIterable[bytes | str]", f"{call}_async", "await call"
            arguments.insert(0, "self._run")
        value = f" = {ast.get_source_segment(source, default)}" if default else ""
        parameters.append(f"{parameter.arg}: {annotation}{value}")
        arguments.append(f"{parameter.arg}={parameter.arg}" if named else parameter.arg)
    lines = [
        f"{'async ' if 'await' in run else ''}def {function.name}(",
        *(f"    {parameter}," for parameter in parameters),
        f") -> {returns.format(kind[2])}:{' ...' if is_overload else ''}",
    ]
    if is_overload:
        lines.insert(0, "@overload")
    else:
        lines += [
            f"    {ast.get_source_segment(source, function.body[0])}",
            f"    call = {call}(",
            *(f"        {argument}," for argument in arguments),
            "    )",
            f"    return {run}",
        ]
    return textwrap.indent("\n".join(lines), "    ") + "\n"


def text() -> str:
    """The whole file."""
    parts = [HEAD]
    for is_async in (False, True):
        prefix, definition = ("Async", "async def") if is_async else ("", "def")
        parts.append(CLASS.format(prefix=prefix, definition=definition))
        for module in ("_operations", "_reply"):
            source = (SOURCE / f"{module}.py").read_text()
            functions = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)]
            was_overload = False
            for function in functions:
                if found := method(module, source, function, is_async=is_async):
                    parts += [found] if was_overload else ["\n", found]
                    was_overload = bool(function.decorator_list)
    return "".join(parts)


if __name__ == "__main__":
    TARGET.write_text(text())
