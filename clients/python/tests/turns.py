"""The table of the README: how many requests a turn takes."""

from __future__ import annotations

import re

from conftest import PACKAGE
from tests.proxy import Proxy

_ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<before>\d+) \| (?P<now>\d+) \|", re.MULTILINE)


def requests_of(name: str) -> tuple[int, int]:
    """What the table says of a program: with one request for each step, and with `turn`."""
    readme = (PACKAGE / "README.md").read_text()
    ((before, now),) = [(int(row["before"]), int(row["now"])) for row in _ROW.finditer(readme) if row["name"] == name]
    return before, now


def count(proxy: Proxy) -> int:
    """How many requests came since the last call."""
    number = len(proxy.seen)
    proxy.seen.clear()
    return number
