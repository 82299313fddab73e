"""``handoffd demo``: a finite first tour."""

from __future__ import annotations

import click

from daemon.cli.frame import Command, Invocation, json_option
from daemon.cli.output import emit_json, emit_table, talk


@click.command(cls=Command)
@json_option
@click.pass_obj
def command(call: Invocation, as_json: bool) -> int:
    """Three tasks on a board of their own, run for real, to a proved end.

    Without --home everything is put into a new folder below the system's temporary folder, and stays there
    to be looked at.
    """
    import os
    from pathlib import Path

    from daemon import tour

    named = call.home or (Path(os.environ["HANDOFFD_HOME"]) if os.environ.get("HANDOFFD_HOME") else None)
    shown = tour.demo(named.expanduser().absolute() if named else None, os.environ)
    if as_json:
        emit_json({"ok": shown.ok, "home": shown.home, "tasks": shown.tasks})
        return tour.exit_code(shown)
    rows = [
        (
            t["title"],
            t["handler"],
            t["status"],
            _evidence(t["gates"]),
            f"{len(t['files'])} files",
            t["report"],
        )
        for t in shown.tasks
    ]
    emit_table(("TASK", "HANDLER", "STATUS", "EVIDENCE", "FILES", "REPORT"), rows, empty="no task ended")
    talk(f"all of it is in {shown.home}" if shown.ok else f"not all ended as they should: see {shown.home}")
    return tour.exit_code(shown)


def _evidence(gates: list[dict[str, str]]) -> str:
    meant = [g for g in gates if g["result"] != "not_applicable"]
    passed = sum(g["result"] == "passed" for g in meant)
    return f"{passed} of {len(meant)} gates passed"
