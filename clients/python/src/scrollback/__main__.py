"""Starts the command `scrollback`, and says what to install where its extra is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command."""
    try:
        from ._cli import cli
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit("scrollback: the command needs the extra cli: pip install 'scrollback-client[cli]'")
    cli(prog_name="scrollback")


if __name__ == "__main__":
    main()
