"""``handoffd init``: from nothing to settings that work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.frame import Command, Invocation, log_to_stderr
from daemon.cli.output import talk
from daemon.core.errors import ConfigError, ExitCode, HandoffdError

if TYPE_CHECKING:
    from daemon.board import NotionBoard
    from daemon.settings import Loaded


PATIENCE_S = 4.0
"""How long a board that does not answer is asked: a person waits for this."""


class CantCreate(HandoffdError):
    """The settings file can't be written."""

    code = "cant_create"
    exit_code = ExitCode.CANTCREAT


@click.command(cls=Command)
@click.option("--create", is_flag=True, help="Create the Agent-Tasks database below --page (Notion).")
@click.option("--page", default="", metavar="ID", help="The page, shared with the token: id or URL.")
@click.pass_obj
def command(call: Invocation, create: bool, page: str) -> None:
    """Write a commented settings file, unless there is one; with a Notion token, look at the database, or
    list those that could be it.

    Doing it again changes nothing that is there.
    """
    import os

    from daemon.settings.paths import find_place

    place = find_place(call.home, call.config, os.environ)
    if place.config.exists():
        talk(f"kept: {place.config} is there already")
    else:
        write_settings(place.config)
        talk(f"written: {place.config}")
    loaded = call.load({"board.give_up": PATIENCE_S}, handlers=True)
    if loaded.local:
        if create:
            raise ConfigError(
                "--create needs a Notion token", hint="set NOTION_TOKEN; without one, the local board is used"
            )
        talk("no Notion token: the local board in the home folder is used; nothing else is needed")
    else:
        _notion(loaded, create=create, page=page)
    talk("next: handoffd doctor, then handoffd run")


def write_settings(file: Path, mode: int = 0o600) -> None:
    """Write the commented settings file where none is. Raises CantCreate."""
    import os
    import tempfile

    from daemon.engine.registry import Registry
    from daemon.settings.reference import toml_file

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".handoffd-", dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(toml_file(Registry().sections()))
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        os.link(name, file)  # unlike a rename, this never replaces a file that appeared meanwhile
        Path(name).unlink()
    except OSError as error:
        raise CantCreate(
            f"{file} can't be written: {error.strerror}",
            hint="choose another place: --config FILE or --home DIR",
        ) from error


def _notion(loaded: Loaded, *, create: bool, page: str) -> None:
    import threading

    from daemon.observability.logging import get_logger
    from daemon.wiring import open_board

    log_to_stderr(loaded)
    board = open_board(loaded, stop=threading.Event(), log=get_logger())
    try:
        settings = loaded.settings.board
        if settings.database_id or settings.data_source_id:
            info = board.open()
            talk(f"the database “{info.title}” is bound: {len(info.bound)} properties")
            if info.missing:
                talk(f"not there, so what they serve is off: {', '.join(info.missing)}")
        elif create:
            _create(board, page)
        elif not _listed(board):
            raise ConfigError(
                "board.database_id is not set, and no database that the token can see looks like a task list",
                hint="share your tasks database with the integration (••• → Connections) and put its id or "
                f"URL into {loaded.paths.config}, or let handoffd make one: handoffd init --create --page ID",
            )
    finally:
        board.close()


def _listed(board: NotionBoard) -> bool:
    """Show the databases that could be the tasks database, best first; is there any? Changes nothing."""
    from daemon.board.candidates import find
    from daemon.cli.output import emit_table
    from daemon.core.errors import TransientError

    try:
        found = find(board.transport)
    except TransientError as error:
        talk(f"the databases could not be searched: {error.one_line()}")
        return False
    if not found:
        return False
    rows = [
        (f"{c.score:.2f}", c.title, c.database, len(c.proposal.properties), len(c.proposal.fixes))
        for c in found
    ]
    emit_table(("FIT", "TITLE", "DATABASE", "PROPERTIES", "FIXES"), rows, empty="")
    best = found[0]
    twice = sum(c.database == best.database for c in found) > 1
    click.echo("\n[board]")
    click.echo(f'database_id = "{best.database}"')
    if twice:
        click.echo(f'data_source_id = "{best.source}"')
    if lines := best.proposal.settings(notes=True):
        click.echo(lines)
    talk("put these lines of the best fit, or another one's id, into the settings file; nothing was changed")
    return True


def _create(board: NotionBoard, page: str) -> None:
    from daemon.board.setup import create_tasks_database

    if not page:
        raise ConfigError(
            "--create needs --page", hint="share a page with the integration and give its id or URL"
        )
    database, _source = create_tasks_database(board.transport, page)
    talk("the Agent-Tasks database is there; put this into [board]:")
    click.echo(f'database_id = "{database}"')
