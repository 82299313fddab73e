"""``handoffd run``: the daemon in the foreground."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from daemon.cli.frame import Command, Invocation
from daemon.cli.output import talk

if TYPE_CHECKING:
    from daemon.service import Service


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="Tick until nothing is Ready, running or due; then exit.")
@click.option("--no-web", is_flag=True, help="Without dashboard, API and metrics.")
@click.option("--demo", is_flag=True, help="Seed the demo's tasks when the board is empty.")
@click.pass_obj
def command(call: Invocation, once: bool, no_web: bool, demo: bool) -> int:
    """The daemon in the foreground; the system service runs this.

    TERM or Ctrl-C drains and stops, a second Ctrl-C quits at once, HUP reads the settings again, USR1
    prints what each thread does, USR2 looks at the board now.
    """
    from daemon import service

    if not demo:
        return service.run(call.load(), once=once, web=not no_web, started=_ready)
    from daemon import tour

    def started(running: Service) -> None:
        tour.seed(running)
        _ready(running)

    return service.run(tour.settings_of(call.load()), once=once, web=not no_web, started=started)


def _ready(running: Service) -> None:
    """For a person at a terminal; a service manager is told by READY and by the log."""
    if running.web_url and sys.stderr.isatty():
        talk(f"dashboard: {running.web_url}   (Ctrl-C stops the daemon)")
