"""Found by the simulator: a waiting task was written to the store at every tick, changed or not."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from daemon.core.status import Status
from daemon.simulate.behaviour import Plan
from daemon.simulate.world import Setup, World
from daemon.store import Store, open_engine


def test_a_waiting_task_is_written_only_when_its_page_changed(tmp_path: Path) -> None:
    made: list[Store] = []

    def on_disk(clock: object, store_id: str) -> Store:
        engine = open_engine(f"sqlite:///{tmp_path / 'state.db'}")
        made.append(Store(engine, clock, store_id))  # type: ignore[arg-type]  # the world's clock
        return made[0]

    world = World(Setup(seed=1), on_disk)
    world.boot()
    task = world.add("asks", Plan(kind="never"), agent="somebody", acceptance=("it works",))
    world.until(lambda: world.status(task) is Status.WAITING, 600.0)
    world.run(120.0)
    updates: list[str] = []

    @sa.event.listens_for(made[0].engine, "before_cursor_execute")
    def count(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("UPDATE handoffd_runs"):
            updates.append(statement)

    world.run(600.0)
    assert updates == []
    world.edit(task, description="one more thing")
    world.run(60.0)
    assert len(updates) == 1
    run = made[0].active_runs()[0]
    assert run.page["description"] == "one more thing"
    made[0].close()
