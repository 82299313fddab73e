"""What a command prints: data on stdout, talk on stderr."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from daemon.core.text import visible


def emit_json(value: Any) -> None:
    """One JSON document. Escaped to ASCII: safe in every terminal and every encoding."""
    click.echo(json.dumps(value, indent=2))


def emit_line(value: Any) -> None:
    """One JSON document on one line, at once: for streams and for programs that wait for it."""
    click.echo(json.dumps(value))


def talk(text: str) -> None:
    """For the person at the terminal."""
    click.echo(visible(text), err=True)


def minute(at: float) -> str:
    """For tables: the machine's zone, to the minute, with the offset."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M %z")


def second(at: float) -> str:
    """The same to the second."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def emit_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table as wide as it needs to be when piped; fitted, with long cells folded, on a terminal."""
    if not rows:
        talk(empty)
        return
    import io
    import shutil
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold" if terminal else "")
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=not terminal)
    for row in rows:
        # Text, not markup: a title like "[red]" is shown, not obeyed.
        table.add_row(*(Text(visible(str(cell)).replace("\n", " ")) for cell in row))
    width = shutil.get_terminal_size().columns if terminal else 1_000
    text = io.StringIO()  # rich would end the process itself when the pipe is closed
    Console(file=text, width=width, force_terminal=terminal).print(table)
    for line in text.getvalue().splitlines():
        click.echo(line.rstrip())
