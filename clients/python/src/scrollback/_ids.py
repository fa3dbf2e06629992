"""Ids that the client makes, so that a write can be sent again without being done twice."""

from __future__ import annotations

import secrets
import sys
import time
import uuid

__all__ = ["new_id"]


def new_id() -> uuid.UUID:
    """A new id for a conversation or a message: a UUID of version 7 (RFC 9562).

    >>> new_id().version
    7
    """
    if sys.version_info >= (3, 14):
        return uuid.uuid7()
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    version, variant = 0x7 << 76, 0x2 << 62
    return uuid.UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | version | variant)
