"""``handoffd board``: the local Notion-compatible server alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.frame import Group, Invocation
from daemon.cli.output import emit_line, talk
from daemon.core.errors import TransientError

if TYPE_CHECKING:
    from datetime import datetime

    from daemon.settings import Loaded

ROOT_PAGE = "95ba0116-6776-4c19-9e45-54e77415f03b"
"""contract.md §1; the same as the local board's own default (a test compares)."""


class Moment(click.ParamType[Any]):
    """An ISO time with an offset → an aware datetime."""

    name = "ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        from datetime import datetime

        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"“{value}” is no ISO time, as in 2026-01-31T12:00:00Z", param, ctx)
        if found.tzinfo is None:
            self.fail(f"“{value}” has no offset: add Z or +01:00", param, ctx)
        return found


class Rate(click.ParamType[int]):
    """``180/min`` or ``180`` → requests a minute."""

    name = "N/min"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().removesuffix("/min").strip()
        if not text.isdecimal() or int(text) < 1:
            self.fail(f"“{value}” is no rate, as in 180/min", param, ctx)
        return int(text)


@click.group(cls=Group)
def command() -> None:
    """The local Notion-compatible server."""


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8788, show_default=True, help="0 = any.")
@click.option("--db", type=click.Path(path_type=Path), help="SQLite file; default: the home folder's.")
@click.option("--token", default=None, help="The one token that is let in; default: the home folder's.")
@click.option("--root-page", default=ROOT_PAGE, show_default=True, help="A page that exists and is shared.")
@click.option("--rate-limit", type=Rate(), default=None, help="Refuse more than this; default: no limit.")
@click.option("--now", type=Moment(), default=None, help="Fix the clock, for tests.")
@click.option("--json", "as_json", is_flag=True, help="Nothing but the one line on stdout, no talk.")
@click.pass_obj
def serve(
    call: Invocation,
    *,
    host: str,
    port: int,
    db: Path | None,
    token: str | None,
    root_page: str,
    rate_limit: int | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Serve until Ctrl-C or TERM. Prints {"url","token","root_page"} on one line when it is ready."""
    from daemon.cli.frame import log_to_stderr
    from daemon.core import ids
    from daemon.local_board import BoardConfig
    from daemon.local_board.server import BoardServer
    from daemon.process import settle
    from daemon.wiring import board_token

    loaded = call.load()
    log_to_stderr(loaded)
    file = db or loaded.paths.board_db
    _nobody_else(loaded, file)
    try:
        config = BoardConfig(
            db=file,
            token=token or board_token(loaded),
            root_page=ids.dashed(ids.normalise(root_page)),
            rate_limit=rate_limit,
            now=None if now is None else lambda: now,
        )
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = BoardServer(config, host=host, port=port)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        server.start()
    except OSError as error:
        server.stop()
        raise TransientError(
            f"can't listen on {host} port {port}: {error.strerror}",
            hint="another program has it: stop that one, or give another --port (0 = any free one)",
        ) from error
    emit_line({"url": server.url, "token": config.token, "root_page": config.root_page})
    if not as_json:
        talk(f"the board is in {file}; Ctrl-C stops it")
    settle()
    _until_told()
    server.stop()


def _nobody_else(loaded: Loaded, file: Path) -> None:
    from daemon.process import holder

    found = holder(loaded.paths.lock)
    if found is not None and file.absolute() == loaded.paths.board_db:
        raise TransientError(
            f"the daemon with pid {found.pid} serves {file} already",
            hint="use that one's address, or name another file: --db FILE",
        )


def _until_told() -> None:
    import signal

    from daemon.process import Wake

    told = Wake()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    told.wait(None)
