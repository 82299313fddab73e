"""``handoffd simulate``: the days ahead in virtual time, or a named scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from daemon.cli.frame import Command, Invocation, json_option
from daemon.cli.output import emit_json, emit_table, talk
from daemon.core.text import visible

if TYPE_CHECKING:
    from daemon.core.task import Task
    from daemon.simulate.forecast import Forecast

WALK = "walk"
STEPS = 100_000
"""Events of ``--scenario walk``."""
HISTORY = 5000
"""Attempts on record that durations are learnt from, the newest ones."""


@click.command(cls=Command)
@click.option("--days", type=click.FloatRange(min=0.01, max=366.0), default=7.0, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same days.")
@click.option("--scenario", metavar="NAME", help="A named scenario, “walk”, or “list” for all names.")
@click.option(
    "--board", is_flag=True, help="Begin with the board's open tasks: one look, nothing is written."
)
@json_option
@click.pass_obj
def command(
    call: Invocation, *, days: float, seed: int, scenario: str | None, board: bool, as_json: bool
) -> None:
    """Simulate days of your own settings: what would wait, why, and how many board calls it takes.

    The tick, gates, claims and schedules are the real ones; what handlers do is drawn from the attempts on
    record, or assumed. With --scenario: a situation that once went wrong somewhere, its invariants checked.
    """
    if scenario is not None:
        _scenario(scenario, seed, as_json)
        return
    _forecast(call, days, seed, board, as_json)


def _scenario(name: str, seed: int, as_json: bool) -> None:
    from daemon.simulate.scenarios import SCENARIOS
    from daemon.simulate.walk import walk

    if name == "list":
        rows = [(s.name, s.says) for s in SCENARIOS.values()]
        rows.append((WALK, f"A random walk of {STEPS:,} steps: people, faults, crashes, clocks."))
        if as_json:
            emit_json([{"name": n, "says": says} for n, says in rows])
        else:
            emit_table(("SCENARIO", "WHAT HAPPENS"), rows, empty="there is none")
        return
    if name != WALK and name not in SCENARIOS:
        raise click.BadParameter(f"“{name}” is none; --scenario list names them", param_hint="--scenario")
    world = walk(seed, STEPS) if name == WALK else SCENARIOS[name].build(seed)
    shown: dict[str, Any] = {
        "scenario": name,
        "seed": seed,
        "steps": world.events,
        "virtual_seconds": world.agenda.now - world.setup.start,
        "ends": dict(sorted(world.ends.items())),
        "checks": dict(sorted(world.watch.checks.items())),
        "board_calls": dict(sorted(world.board.calls().items())),
    }
    if as_json:
        emit_json(shown)
        return
    checked = sum(world.watch.checks.values())
    click.echo(f"{name}, seed {seed}: holds. {world.events:,} steps, {checked:,} checks.")
    emit_table(("CHECKED", "TIMES"), [(n, f"{c:,}") for n, c in shown["checks"].items()], empty="nothing")


def _forecast(call: Invocation, days: float, seed: int, board: bool, as_json: bool) -> None:
    import time
    from contextlib import closing

    from daemon.parts import LOCAL_INTERVAL_S
    from daemon.simulate.forecast import forecast
    from daemon.wiring import host_name, open_store, with_handlers

    loaded, registry = with_handlers(call.load())
    tasks = _look(call) if board else []
    with closing(open_store(loaded)) as store:
        history = [r for r in store.runs(limit=HISTORY) if r.ended is not None]
    local = loaded.local and loaded.origin("poll.interval") == "default"
    made = forecast(
        loaded.settings,
        registry,
        host=host_name(loaded),
        interval=LOCAL_INTERVAL_S if local else loaded.settings.poll.interval,
        start=time.time(),
        days=days,
        seed=seed,
        tasks=tasks,
        history=history,
    )
    if as_json:
        emit_json(_shape(made))
    else:
        _show(made)


def _look(call: Invocation) -> list[Task]:
    """The board's open tasks. Reads only."""
    from daemon.session import session

    with session(call.load()) as here:
        here.board.open()
        return here.board.look()


def _shape(made: Forecast) -> dict[str, Any]:
    from daemon.simulate.forecast import because

    return {
        "days": made.days,
        "seed": made.seed,
        "steps": made.steps,
        "tasks": made.tasks,
        "schedule_tasks": made.schedule_tasks,
        "status": dict(made.status),
        "ends": dict(made.ends),
        "board_calls": made.calls,
        "board_calls_per_hour": round(made.calls_per_hour, 1),
        "waits": [
            {
                "task": w.task,
                "title": w.title,
                "seconds": round(w.seconds, 1),
                "because": because(w, _span),
                "gates": {g: round(s, 1) for g, s in sorted(w.gates.items(), key=lambda i: -i[1])},
            }
            for w in made.waits
        ],
        "durations": dict(made.basis),
    }


def _show(made: Forecast) -> None:
    from daemon.simulate.forecast import because

    status = ", ".join(f"{n} {name}" for name, n in made.status.items()) or "none"
    click.echo(
        f"{made.days:g} days, seed {made.seed}: {made.tasks} tasks, {made.schedule_tasks} by schedules; "
        f"at the end {status}."
    )
    click.echo(f"Board calls: {made.calls:,}, {made.calls_per_hour:.0f} an hour.")
    for wait in made.waits:
        click.echo(visible(f"“{wait.title}” would wait {_span(wait.seconds)} because {because(wait, _span)}"))
    for name, basis in made.basis.items():
        talk(f"durations of {name}: {basis}")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"
