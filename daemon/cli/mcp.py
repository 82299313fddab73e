"""``handoffd mcp``: the handoff verbs for an agent that speaks MCP, on stdin and stdout."""

from __future__ import annotations

import os
import signal
import sys
import threading

import click

from daemon.cli.frame import Command, Invocation
from daemon.cli.output import talk
from daemon.core.errors import ConfigError


@click.command(cls=Command)
@click.option("--agent", default="", help="In whose name: only its handoffs are listed.")
@click.pass_obj
def command(call: Invocation, agent: str) -> None:
    """The handoff verbs as an MCP server on stdio; an agent's program starts it. Needs the extra `mcp`."""
    try:
        from daemon.cli.mcp_tools import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise ConfigError(
            f"`handoffd mcp` needs the extra “mcp”, which is not installed here: {error}",
            hint='pip install "handoffd[mcp]"   (in a clone: .venv/bin/pip install -e ".[mcp]")',
        ) from error
    if sys.stdin.isatty():
        talk("speaking MCP on stdin and stdout, for an agent's program; Ctrl-C ends it")
    _end_at_ctrl_c()
    serve(call, agent)


def _end_at_ctrl_c() -> None:
    """End the process at SIGINT, whatever it does: each verb leaves a whole file or none.

    The library reads stdin in a thread that no exception wakes up, and a handler of Python's own runs no
    sooner than the main thread's loop comes back: a signal in the moment when that goes to sleep is lost.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def wait() -> None:
        signal.sigwait({signal.SIGINT})
        os._exit(128 + signal.SIGINT)

    threading.Thread(target=wait, name="ctrl-c", daemon=True).start()
