"""What handlers do in the simulation: a plan drawn for each attempt, the same on every replay."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from daemon.core.errors import PermanentError, TransientError
from daemon.core.snapshot import HandlerRecord
from daemon.core.task import Draft, Task
from daemon.engine.registry import Registered, Registry
from daemon.sdk import Blocked, Context, Delivered, Done, Gate, NeedsReview, Outcome, RunInfo, Snooze

KINDS = (
    "done", "unproved", "disproved", "transient", "permanent", "bug", "blocked", "snooze", "review",
    "waits", "never", "hangs", "follow-ups",
)  # fmt: skip

USUAL: Mapping[str, float] = {
    "done": 70, "transient": 8, "permanent": 2, "bug": 2, "unproved": 2, "disproved": 1, "blocked": 1,
    "snooze": 2, "review": 1, "waits": 6, "never": 1, "hangs": 1, "follow-ups": 3,
}  # fmt: skip
"""Weights of a bad but believable week."""

PATIENCE_S = 72 * 3600.0
"""When a task that nobody answers is given to a person (research/dispatch.md §3.2: acknowledged, 72 h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One attempt. ``seconds``: what each of its steps takes. ``answer_after``: seconds from the start of
    the attempt until the agent answers. ``children``: follow-up tasks that it makes."""

    kind: str = "done"
    seconds: tuple[float, ...] = (30.0,)
    answer_after: float = 3600.0
    children: int = 2


@dataclass(slots=True)
class Model:
    """Draws plans. ``forced``: task id → plan of every attempt; ``by_title``: title → the same."""

    seed: int
    weights: Mapping[str, float] = field(default_factory=lambda: dict(USUAL))
    median_s: float = 60.0
    forced: dict[str, Plan] = field(default_factory=dict)
    by_title: dict[str, Plan] = field(default_factory=dict)
    measured: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Handler → how long its attempts took, in seconds; drawn from when given."""

    def plan(self, task: Task, run: RunInfo, handler_name: str) -> Plan:
        """The plan of this attempt."""
        known = self.forced.get(task.id) or self.by_title.get(task.title)
        if known is not None:
            return known
        rng = random.Random(f"{self.seed}:{run.id}")  # noqa: S311 - it must repeat itself
        kind = rng.choices(list(self.weights), list(self.weights.values()))[0]
        seen = self.measured.get(handler_name)
        whole = rng.choice(seen) if seen else self.median_s * rng.lognormvariate(0.0, 0.8)
        return Plan(
            kind=kind, seconds=(whole / 3, whole / 3, whole / 3), answer_after=rng.uniform(60, 86_400)
        )


class Modelled:
    """A handler that does what its plan says. Name, Params and limits are those of the one it stands for."""

    gates = (Gate(name="proved", title="The work is proved"),)
    report = "task"
    section = "handlers.modelled"

    def __init__(
        self,
        name: str,
        model: Model,
        takes: Callable[[float], None],
        clock: Callable[[], float],
        *,
        params: type,
        settings: type,
        time_limit: float = 3600.0,
        refuses_past_due: bool = False,
    ) -> None:
        self.name = name
        self.Params = params
        self.Settings = settings
        self.time_limit = time_limit
        self.refuses_past_due = refuses_past_due
        self._model = model
        self._takes = takes
        self._clock = clock

    def run(self, task: Task, params: Any, ctx: Context) -> Outcome:
        """Steps that take their time, then what the plan says."""
        plan = self._model.plan(task, ctx.run, self.name)
        for number, seconds in enumerate(plan.seconds, 1):
            self._takes(seconds)
            ctx.step(f"work {number}", _nothing)
        if plan.kind == "hangs":
            # A child process that never ends is killed at the attempt's limit.
            self._takes(self.time_limit + 1.0)
            ctx.step("hang", _nothing)
        if plan.kind in _RAISES:
            ctx.step("fail", _RAISES[plan.kind])
        if plan.kind in ("waits", "never"):
            return Delivered(wait_for="an agent's answer", summary="Handed over.")
        if plan.kind == "follow-ups" and not task.source_key.startswith("sim:"):
            for child in range(plan.children):
                draft = Draft(title=f"Follow-up {child} of {task.title}"[:120], handler=self.name)
                ctx.follow_up(f"sim:{task.id}:{child}", draft)
        if plan.kind not in ("unproved", "blocked", "snooze", "review"):
            ctx.evidence("proved", "check", "the work", plan.kind != "disproved")
        return _ENDS.get(plan.kind, Done(summary="Done."))

    def arrived(self, task: Task, params: Any, ctx: Context) -> str | None:
        """The agent has answered, or nobody will."""
        waited = self._clock() - ctx.run.started.timestamp()
        plan = self._model.plan(task, ctx.run, self.name)
        if plan.kind == "waits" and waited >= plan.answer_after:
            return "answer"
        return "overdue" if waited >= PATIENCE_S else None

    def resume(self, task: Task, params: Any, ctx: Context) -> Outcome:
        """The answer is checked; without one a person is asked."""
        plan = self._model.plan(task, ctx.run, self.name)
        if plan.kind == "never" or plan.answer_after > PATIENCE_S:
            return Blocked(reason="nobody answered in 72 h", unblock="ask the agent")
        self._takes(1.0)
        ctx.step("check the answer", _nothing)
        ctx.evidence("proved", "check", "the answer", True)
        return Done(summary="Answered.")


def _nothing() -> None:
    return None


def _transient() -> None:
    raise TransientError("the source is busy")


def _permanent() -> None:
    raise PermanentError("404 at the source", hint="check the URL")


def _bug() -> None:
    raise ZeroDivisionError("a bug of the handler")


_RAISES: Mapping[str, Callable[[], None]] = {"transient": _transient, "permanent": _permanent, "bug": _bug}
_ENDS: Mapping[str, Outcome] = {
    "blocked": Blocked(reason="no access to the source", unblock="share it"),
    "snooze": Snooze(reason="the source opens later", after=900.0),
    "review": NeedsReview(reason="the match is weak"),
}


@dataclass(frozen=True)
class AnyParams:
    """A handler of a scenario takes none."""


class ModelRegistry(Registry):
    """Modelled handlers under the names of real ones. ``stand_for``: the real registry, or names."""

    def __init__(
        self,
        stand_for: Registry | Iterable[str],
        model: Model,
        takes: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        super().__init__([])
        if isinstance(stand_for, Registry):
            self.records = [replace(r) for r in stand_for.records]
            real = [stand_for.get(n) for n in stand_for.names()]
            for found in real:
                assert found is not None  # noqa: S101 - names() lists what get() has
                self._stand_in(found.name, model, takes, clock, found.handler)
            return
        for name in stand_for:
            self.records.append(HandlerRecord(name=name, state="loaded", dist="", version=""))
            self._stand_in(name, model, takes, clock, None)

    def _stand_in(
        self, name: str, model: Model, takes: Callable[[float], None], clock: Callable[[], float], real: Any
    ) -> None:
        made = Modelled(
            name,
            model,
            takes,
            clock,
            params=real.Params if real else AnyParams,
            settings=real.Settings if real else AnyParams,
            time_limit=real.time_limit if real else 3600.0,
            refuses_past_due=real.refuses_past_due if real else False,
        )
        self._handlers[name] = Registered(name=name, handler=made, dist="", version="")


__all__ = ["KINDS", "PATIENCE_S", "USUAL", "Model", "ModelRegistry", "Modelled", "Plan"]
