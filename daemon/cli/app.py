"""The command tree, loaded lazily, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from daemon import __version__
from daemon.cli.frame import Group, Invocation
from daemon.core.errors import ExitCode, HandoffdError

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and its line in ``--help``: shown without importing it."""

    module: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "run": Entry("run", "The daemon in the foreground."),
    "demo": Entry("demo", "A first tour: three tasks, from Ready to a proved end."),
    "init": Entry("init", "Write a commented settings file; find or create the databases."),
    "doctor": Entry("doctor", "Check everything that a run needs."),
    "task": Entry("task", "Add, list, show, retry, cancel tasks."),
    "why": Entry("why", "Why a task is not moving, or what it is doing."),
    "runs": Entry("runs", "Attempts with their steps, gates and evidence."),
    "events": Entry("events", "The append-only event log."),
    "music": Entry("music", "One music sync without a task; the library."),
    "board": Entry("board", "The local Notion-compatible server."),
    "handoff": Entry("handoff", "List, show, acknowledge, ask, return, refuse handoffs; check receipts."),
    "mcp": Entry("mcp", "The handoff verbs as an MCP server on stdio."),
    "report": Entry("report", "Reports again from recorded evidence."),
    "schedule": Entry("schedule", "Schedules with their next and past slots."),
    "simulate": Entry("simulate", "Days ahead in virtual time: what would wait, and why."),
    "config": Entry("config", "Settings in force and where each came from."),
    "service": Entry("service", "Install, remove or look at the system service."),
}

_EPILOG = """\b
Examples:
  handoffd demo                              see it work, on a board of its own
  handoffd task add "Sync this" --handler music-sync --url https://…
  handoffd why 3f2a…                         what holds a task
  handoffd doctor                            what is missing, and the fix
"""


class PipeClosed(Exception):
    """Whoever read our stdout has gone. Not an OSError: click would end the process with 1 for that."""


class Commands(Group):
    """The root. Knows its commands by name; imports one only when it is called."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise PipeClosed from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = importlib.import_module(f"daemon.cli.{entry.module}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            more = f" Did you mean “{near[0]}”?" if near else ""
            raise click.UsageError(f"There is no command “{args[0]}”.{more}", ctx)
        return super().resolve_command(ctx, args)


@click.command(cls=Commands, epilog=_EPILOG, no_args_is_help=True)
@click.version_option(__version__, prog_name="handoffd", message="%(prog)s %(version)s")
def root() -> None:
    """Turns rows of a Notion board into finished, proved work."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code (contract.md §1, docs/cli.md)."""
    invocation = Invocation()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a title must not break a Latin-1 terminal
    try:
        code = root.main(args=list(arguments), prog_name="handoffd", standalone_mode=False, obj=invocation)
        sys.stdout.flush()
    except click.UsageError as error:
        return _usage(error)
    except click.ClickException as error:
        _say("error", error.format_message())
        return ExitCode.USAGE
    except HandoffdError as error:
        return _deliberate(error, invocation)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except (PipeClosed, BrokenPipeError):
        return _pipe_closed()
    except Exception as error:  # noqa: BLE001 - the one door out: a bug gets a message and a code
        return _bug(error, invocation)
    return code if isinstance(code, int) else ExitCode.OK


def _pipe_closed() -> int:
    """The reader has gone (`| head`). Python flushes stdout once more at exit: give it somewhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


def _usage(error: click.UsageError) -> int:
    _say("error", error.format_message())
    if error.ctx is not None:
        _say("hint", f"{error.ctx.get_usage().removeprefix('Usage: ')}   (--help for more)")
    return ExitCode.USAGE


def _deliberate(error: HandoffdError, invocation: Invocation) -> int:
    _trace(invocation)
    _say("error", str(error))
    if error.hint:
        _say("hint", error.hint)
    return error.exit_code


def _bug(error: Exception, invocation: Invocation) -> int:
    _trace(invocation)
    _say("error", f"this is a bug in handoffd {__version__}: {type(error).__name__}: {error}")
    if not invocation.debug:
        _say("hint", "run it again with --debug and report what it prints")
    return ExitCode.BUG


def _say(kind: str, text: str) -> None:
    from daemon.core.text import visible
    from daemon.settings.redact import Redactor
    from daemon.settings.secrets import find

    hide = Redactor(find(os.environ)[0].values_to_hide())
    color: Any = {"error": "red", "hint": "cyan"}[kind]
    click.echo(click.style(f"{kind}: ", fg=color, bold=True) + visible(hide.text(text)), err=True)


def _trace(invocation: Invocation) -> None:
    if not invocation.debug:
        return
    import traceback

    click.echo(traceback.format_exc(), err=True)
