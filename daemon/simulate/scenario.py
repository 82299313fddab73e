"""What a named scenario is, and what all of them are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from daemon.settings.model import ScheduleSettings, TaskTemplate
from daemon.simulate.world import Setup, World

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """``build(seed)`` runs it and gives the world back; raises InvariantBroken when it went wrong."""

    name: str
    says: str
    build: Callable[[int], World]


SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Callable[[int], World]], Callable[[int], World]]:
    """Register a scenario; the docstring of ``build`` is what it says."""

    def keep(build: Callable[[int], World]) -> Callable[[int], World]:
        SCENARIOS[name] = Scenario(name, " ".join((build.__doc__ or "").split()), build)
        return build

    return keep


def build(seed: int, **fields: object) -> World:
    """A world whose handlers always succeed, unless a plan says otherwise; its daemons are started."""
    world = World(replace(Setup(seed=seed), weights={"done": 1.0}, **fields))  # type: ignore[arg-type]  # Setup's own
    for host in range(len(world.hosts)):
        world.boot(host)
    return world


def must(world: World, holds: bool, what: str) -> None:
    """Raise InvariantBroken unless it holds."""
    world.watch.must("scenario", holds, what)


def claims(world: World, task: str) -> int:
    """How often the task was claimed."""
    return sum(t == task for _, t in world.claims)


def schedule(cron: str, zone: str = "UTC", **fields: object) -> ScheduleSettings:
    """A schedule of the handler ``work``."""
    template = TaskTemplate(title=f"slot of {cron}", handler="work")
    return ScheduleSettings(cron=cron, task=template, timezone=zone, **fields)  # type: ignore[arg-type]  # its own


def filled(world: World) -> int:
    """Tasks made by schedules."""
    return sum(p.source_key.startswith("schedule:") for p in world.board.pages.values())


def crash_loop(world: World, *, every: float, lasts: float) -> None:
    """The first host is killed every so many seconds, and is back two seconds later."""
    for number in range(1, int(lasts / every)):
        world.agenda.after(number * every, lambda: world.hosts[0].die(2.0))
