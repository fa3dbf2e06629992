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
        sys.exit("scrollback: the command needs click and rich, which the extra cli of scrollback-client installs")
    cli(prog_name="scrollback")


if __name__ == "__main__":
    main()
