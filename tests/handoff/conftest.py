"""A handoff driven by hand: real files, real processes, a clock that the test moves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon.core.evidence import Judged, judge
from daemon.core.outcome import Outcome
from daemon.core.task import Task
from daemon.engine.registry import parse_parameters, typed_parameters
from daemon.sdk import RunInfo
from daemon.testing import DirectContext, sample_task
from handlers.handoff import Handoff, doors
from handlers.handoff.agents import Agents
from handlers.handoff.packets import load_ledger

START = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)


@dataclass
class Desk:
    """One task and its handler, the daemon's part played step by step."""

    home: Path
    task: Task
    settings: dict[str, Any]
    generation: int = 1
    attempt: int = 1
    now: float = START.timestamp()
    contexts: list[DirectContext] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.handler = Handoff(now=lambda: self.now)
        self.context = self._context()

    def _context(self) -> DirectContext:
        ctx = DirectContext(
            run=RunInfo(
                id=f"{self.task.id}.g{self.generation}",
                task_id=self.task.id,
                generation=self.generation,
                attempt=self.attempt,
                started=START,
                host="test",
            ),
            settings=msgspec.convert(self.settings, Agents),
            home=self.home,
            workdir=self.home,
        )
        self.contexts.append(ctx)
        return ctx

    @property
    def params(self) -> Any:
        return typed_parameters(Handoff.Params, parse_parameters(self.task.parameters))

    def run(self) -> Outcome:
        return self.handler.run(self.task, self.params, self.context)

    def again(self) -> Outcome:
        """The next claim: generation and attempt + 1, as after Retry."""
        self.generation += 1
        self.attempt += 1
        self.context = self._context()
        return self.run()

    def token(self) -> str | None:
        return self.handler.arrived(self.task, self.params, self.context)

    def resume(self) -> Outcome:
        """Something must have arrived; deal with it."""
        assert self.token() is not None, "nothing arrived"
        return self.handler.resume(self.task, self.params, self.context)

    def later(self, seconds: float) -> None:
        self.now += seconds

    @property
    def packet(self) -> Path:
        """The folder of the current delivery, wherever it stands."""
        return next(self.home.glob(f"agents/*/0*/*--{self.task.id}--g{self.generation}"))

    @property
    def doc(self) -> dict[str, Any]:
        found = load_ledger(self.home, self.task.id, self.generation)
        assert found is not None
        return msgspec.to_builtins(found.packet)

    @property
    def workspace(self) -> Path:
        return Path(self.doc["workspace"]["path"])

    def age(self, name: str) -> None:
        """Make a file of the packet look as if it had been written at the test's time, then let 3 s pass."""
        os.utime(self.packet / name, (self.now, self.now), follow_symlinks=False)
        self.later(3)

    def acknowledge(self, understood: str = "write the file that was asked for") -> Outcome:
        doors.ack(self.packet, agent="tester", understood=understood, now=self.now)
        self.age("ACK.json")
        return self.resume()

    def write(self, name: str, text: str) -> Path:
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def put(self, name: str, doc: Any) -> None:
        """A file as an agent without tools writes it."""
        (self.packet / name).write_text(doc if isinstance(doc, str) else json.dumps(doc))
        self.age(name)

    def template(self) -> dict[str, Any]:
        """A return that claims all criteria met, as it would be filled in by hand."""
        doc: dict[str, Any] = json.loads((self.packet / "RETURN.template.json").read_text())
        doc["status"], doc["summary"] = "completed", "All of it is done."
        for item in doc["criteria"]:
            item["claim"] = "met"
        return doc

    def hand_in(self, doc: Any) -> Outcome:
        self.put("RETURN.json", doc)
        return self.resume()

    def rejection(self, number: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.packet / f"RETURN.rejected-{number}.json").read_text())
        return found

    def judged(self) -> dict[str, Judged]:
        recorded = self.context.recorded
        skipped = self.context.skipped
        return {j.name: j for j in judge(Handoff.gates, recorded, started=START.timestamp(), skipped=skipped)}

    def change(self, **fields: Any) -> None:
        self.task = replace(self.task, **fields)


WORDS = "This file says at length what was found, so that it is no placeholder at all.\n"


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    """Make a Desk: keyword arguments are fields of the task; ``agents`` the settings section."""

    def make(*, agents: dict[str, Any] | None = None, **fields: Any) -> Desk:
        base: dict[str, Any] = {
            "id": "c" * 32,
            "title": "Write the findings",
            "agents": ("Cursor",),
            "acceptance": ("AC1: out.txt holds the findings",),
            "parameters": 'check.AC1 = "file:out.txt"',
            "next_step": "Start with the log",
        }
        task = sample_task(**{**base, **fields})
        return Desk(home=tmp_path, task=task, settings={"cursor": {}} if agents is None else agents)

    return make
