"""The command line: one thin function a command, heavy imports inside the command."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``handoffd`` and ``python -m daemon``."""
    from daemon.cli.app import run

    sys.exit(run(sys.argv[1:]))
