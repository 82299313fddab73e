"""``handoffd handoff``: what an agent, or a person, needs to answer a handoff.

PACKET is the folder that holds handoff.md (then no settings are read: an agent may run this anywhere), or a
packet's name, a run id, a task id, which are looked up in the inboxes of the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.cli.frame import Group, Invocation, json_option
from daemon.cli.output import emit_json, emit_table
from daemon.cli.packets import find, packets
from daemon.core.errors import ExitCode

packet_argument = click.argument("packet")
STATUSES = ("completed", "partial", "failed", "rejected", "input_required", "no_change_needed")
CODES = ("wrong_agent", "underspecified", "unsafe", "out_of_scope", "duplicate_of")


@click.group(cls=Group)
def command() -> None:
    """List, show, acknowledge, ask, return, refuse handoffs; check receipts."""


@command.command("list")
@click.option("--agent", default="", help="Only this agent's.")
@click.option("--state", default="", help="submitted, working, input_required, completed …")
@json_option
@click.pass_obj
def list_(call: Invocation, agent: str, state: str, as_json: bool) -> None:
    """Packets in the inboxes, newest first."""
    import msgspec

    found = [p for p in packets(call, agent) if not state or p.state == state]
    if as_json:
        emit_json([msgspec.to_builtins(p) for p in found])
        return
    rows = [(p.name, p.agent, p.state, p.return_by, p.title) for p in found]
    emit_table(("PACKET", "AGENT", "STATE", "RETURN BY", "TITLE"), rows, empty="no handoffs")


@command.command()
@packet_argument
@json_option
@click.pass_obj
def show(call: Invocation, packet: str, as_json: bool) -> None:
    """One handoff: where it stands, what was said, why a return was rejected."""
    from handlers.handoff import doors

    folder = find(call, packet)
    shown = doors.show(folder)
    if as_json:
        emit_json(shown)
        return
    from daemon.core.text import visible

    click.echo(f"{shown['state']}: {visible(str(shown['packet']['title']))}\n  {folder}")
    for name in shown["replies"]:
        click.echo(f"  {visible(name)}")
    for finding in (f for r in shown["rejections"] for f in r.get("findings", ())):
        click.echo(f"  rejected: {visible(str(finding))}")


@command.command()
@packet_argument
@click.option("--agent", required=True, help="Who takes it.")
@click.option("--understood", required=True, help="The task in your own words, in one line.")
@click.option("--step", "steps", multiple=True, help="A step of the plan; may be repeated.")
@click.option("--question", "questions", multiple=True, help="What is unclear; may be repeated.")
@click.option("--session", default="", help="Where the work can be found again.")
@click.pass_obj
def ack(
    call: Invocation,
    *,
    packet: str,
    agent: str,
    understood: str,
    steps: tuple[str, ...],
    questions: tuple[str, ...],
    session: str,
) -> None:
    """Take it. The first one wins."""
    import time

    from handlers.handoff import doors

    path = doors.ack(
        find(call, packet),
        agent=agent,
        understood=understood,
        now=time.time(),
        plan_steps=steps,
        questions=questions,
        session=session,
    )
    click.echo(path)


@command.command()
@packet_argument
@click.option("--note", default="", help="What is being done.")
@click.option("--percent", type=click.FloatRange(0, 100), default=None)
@click.pass_obj
def beat(call: Invocation, packet: str, note: str, percent: float | None) -> None:
    """Say that work goes on."""
    import time

    from handlers.handoff import doors

    click.echo(doors.beat(find(call, packet), now=time.time(), note=note, percent=percent))


@command.command()
@packet_argument
@click.option("--need", required=True, help="The question.")
@click.option("--why", default="")
@click.option("--option", "options", multiple=True, help="A possible answer; may be repeated.")
@click.option("--recommended", default="", help="The option that you would take.")
@click.option("--default", "silent", default="", help="What you do when nobody answers.")
@click.option("--go-on", is_flag=True, help="Work goes on meanwhile.")
@click.pass_obj
def ask(
    call: Invocation,
    *,
    packet: str,
    need: str,
    why: str,
    options: tuple[str, ...],
    recommended: str,
    silent: str,
    go_on: bool,
) -> None:
    """Ask a person. The question becomes a comment on the page, the answer a file beside it."""
    from handlers.handoff import doors

    path = doors.ask(
        find(call, packet),
        need=need,
        why=why,
        options=options,
        recommended=recommended,
        default_if_silent=silent,
        blocks=not go_on,
    )
    click.echo(path)


@command.command()
@packet_argument
@click.argument("number", type=click.IntRange(1))
@click.argument("text")
@click.option("--by", default="a person", show_default=True)
@click.pass_obj
def answer(call: Invocation, packet: str, number: int, text: str, by: str) -> None:
    """Answer question NUMBER of an agent."""
    import time

    from handlers.handoff import doors

    click.echo(doors.answer(find(call, packet), number, text, by=by, now=time.time()))


@command.command("return")
@packet_argument
@click.option("--from", "source", type=click.File("rb"), help="A whole RETURN.json; - for stdin.")
@click.option("--status", type=click.Choice(STATUSES), default="completed", show_default=True)
@click.option("--summary", default="", help="What was done, in at most 600 characters.")
@click.option("--met", multiple=True, metavar="ID", help="A criterion that is met; none given = all.")
@click.option("--changed", multiple=True, metavar="FILE", help="A changed file, below the workspace.")
@click.option("--evidence", multiple=True, metavar="ID=JSON", help="A proof for a criterion.")
@click.option("--not-done", multiple=True, help="What is left.")
@click.pass_obj
def return_(
    call: Invocation,
    *,
    packet: str,
    source: Any,
    status: str,
    summary: str,
    met: tuple[str, ...],
    changed: tuple[str, ...],
    evidence: tuple[str, ...],
    not_done: tuple[str, ...],
) -> None:
    """Give the work back. The daemon runs the checks again itself."""
    from handlers.handoff import doors

    folder = find(call, packet)
    if source is not None:
        path = doors.return_(folder, _document(source.read()))
    else:
        path = doors.return_(
            folder,
            status=status,
            summary=summary,
            met=met or None,
            files=changed,
            evidence=_proofs(evidence),
            not_done=not_done,
        )
    click.echo(path)


@command.command()
@packet_argument
@click.option("--code", required=True, type=click.Choice(CODES))
@click.option("--reason", required=True)
@click.pass_obj
def refuse(call: Invocation, packet: str, code: str, reason: str) -> None:
    """Do not take it, and say why."""
    from handlers.handoff import doors

    click.echo(doors.refuse(find(call, packet), code=code, reason=reason))


@command.command("verify-receipt")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@json_option
@click.pass_obj
def verify_receipt(_call: Invocation, path: Path, as_json: bool) -> int:
    """Check a receipt offline: its hash, the chain, the packet's files. Exit 0 only if it holds."""
    import msgspec

    from handlers.handoff import doors

    found = doors.verify_receipt(path)
    if as_json:
        emit_json({**msgspec.to_builtins(found), "ok": found.ok})
    else:
        for what in found.checked:
            click.echo(f"checked: {what}")
        for problem in found.problems:
            click.echo(f"✗ {problem}")
        click.echo("the receipt holds" if found.ok else "the receipt does not hold")
    return ExitCode.OK if found.ok else ExitCode.FAILED


def _document(data: bytes) -> dict[str, Any]:
    import json

    try:
        found = json.loads(data)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--from") from error
    if not isinstance(found, dict):
        raise click.BadParameter("not a JSON object", param_hint="--from")
    return found


def _proofs(texts: tuple[str, ...]) -> dict[str, list[dict[str, Any]]]:
    import json

    out: dict[str, list[dict[str, Any]]] = {}
    for text in texts:
        criterion, equals, proof = text.partition("=")
        try:
            value = json.loads(proof) if equals else None
        except ValueError as error:
            raise click.BadParameter(f"{criterion}: not JSON: {error}", param_hint="--evidence") from error
        if not isinstance(value, dict):
            raise click.BadParameter(f"“{text}” is not ID={{JSON object}}", param_hint="--evidence")
        out.setdefault(criterion.strip(), []).append(value)
    return out
