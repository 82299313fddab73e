"""Step R70/R71: the daemon runs each criterion's check itself, as it was bound at delivery.

argv lists without a shell, a clean environment, limits on time and memory, own process group
(``Context.child``).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from daemon.sdk import Context
from handlers.handoff.criteria import complete_argv
from handlers.handoff.intake import finding
from handlers.handoff.model import Criterion, Finding, Packet
from handlers.handoff.verify import file_check
from handlers.handoff.workspace import Manifest

MAX_MEMORY = 8 * 1024**3
TAIL = 2000


class CheckRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a check showed. ``proved`` None = the check itself could not be carried out."""

    id: str
    use: str
    proved: bool | None
    why: str
    exit: int | None = None
    seconds: float = 0.0
    path: str = ""
    bytes: int | None = None
    sha256: str = ""
    output_tail: str = ""


def run_check(criterion: Criterion, packet: Packet, folder: str, before: Manifest, ctx: Context) -> CheckRun:
    """Carry out one check. Inside a step."""
    check = criterion.check
    if check is None:
        raise ValueError(f"{criterion.id} has no check")
    if check.use == "file":
        found, why, digest = file_check(check, packet, before)
        path = Path(packet.workspace.path) / check.path
        return CheckRun(
            id=criterion.id,
            use=f"file:{check.path}",
            proved=found,
            why=why,
            path=str(path) if digest else "",
            bytes=path.stat().st_size if digest else None,
            sha256=digest,
        )
    values = {
        "workspace": packet.workspace.path,
        "packet": folder,
        "task": packet.task_id,
        "run": packet.run,
        "criterion": criterion.id,
    }
    argv = complete_argv(check.argv, values)
    cwd = Path(packet.workspace.path if check.cwd == "workspace" else folder)
    result = ctx.child(argv, timeout=check.timeout, env=check.env, cwd=cwd, max_memory=MAX_MEMORY)
    tail = (result.stdout + result.stderr)[-TAIL:]
    proved, why = _judge(
        check.exit, check.regex, result.ended, result.returncode, result.stdout + result.stderr
    )
    return CheckRun(
        id=criterion.id,
        use=check.use,
        proved=proved,
        why=why,
        exit=result.returncode,
        seconds=round(result.wall_s, 3),
        output_tail=tail,
    )


def _judge(wanted: int, regex: str, ended: str, code: int, output: str) -> tuple[bool | None, str]:
    if ended != "exit":
        return None, f"the check was stopped: {ended}"
    if code in (126, 127) and wanted != code:
        return None, f"the check's program can't be started (exit code {code})"
    if code != wanted:
        return False, f"exit code {code}, {wanted} is asked for"
    if regex and not re.search(regex, output):
        return False, "the output does not match what the settings ask for"
    return True, ""


def findings(runs: list[CheckRun], packet: Packet) -> list[Finding]:
    """R70 and R71 for the required criteria that were not proved."""
    required = {c.id for c in packet.acceptance if c.required}
    out = []
    for run in runs:
        if run.proved or run.id not in required:
            continue
        code = "R71" if run.proved is None else "R70"
        got = f"{run.why}: {run.output_tail[-300:]}" if run.output_tail else run.why
        out.append(
            finding(code, f"$.criteria[{run.id}]", f"{run.use} proves it", got, "mend it and return again")
        )
    return out
