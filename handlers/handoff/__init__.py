"""The handler ``handoff``: give a task to an agent, and believe only what can be checked of what comes back.

``run`` compiles, lints and publishes the packet (and starts the agent where the settings say so), then the
task waits. ``arrived`` looks at the packet's folder; ``resume`` deals with one new thing: an
acknowledgement, a question, an answer, a refusal, a return, a passed deadline. docs/handoffs.md is the guide
for people and agents.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from daemon.sdk import Check, Context, Gate, Outcome, Task, handler
from handlers.handoff.agents import AgentSettings, Slug
from handlers.handoff.params import Params as HandoffParams

if TYPE_CHECKING:
    from pathlib import Path

MARGIN_S = 600.0
AGENT_LIMIT_S = 43200.0
"""Longest ``time_limit`` of an agent; a launched one works inside the run."""


@handler
class Handoff:
    """See the module. ``now``: clock in epoch seconds, for tests."""

    name: ClassVar[str] = "handoff"
    Params: ClassVar[type] = HandoffParams
    Settings: ClassVar[Any] = dict[Slug, AgentSettings]
    section: ClassVar[str] = "agents"
    report: ClassVar[str] = "handoff"
    time_limit: ClassVar[float] = AGENT_LIMIT_S + MARGIN_S
    refuses_past_due: ClassVar[bool] = True
    takeover: ClassVar[str] = "stay"
    gates: ClassVar[tuple[Gate, ...]] = (
        Gate(name="packet.published", title="The packet stood whole in the agent's inbox", group="Delivery"),
        Gate(
            name="ack.valid",
            title="The agent acknowledged it and said what it understood",
            required=False,
            group="Delivery",
        ),
        Gate(
            name="return.identity", title="The return answers this very delivery (R20, R30)", group="Return"
        ),
        Gate(name="return.coverage", title="Every criterion is answered exactly once (R40)", group="Return"),
        Gate(
            name="return.substance",
            title="Every file it names exists and is what it says (R50)",
            group="Return",
        ),
        Gate(name="return.delta", title="Something changed since the claim (R60)", group="Return"),
        Gate(
            name="return.first_time",
            title="The first return was accepted",
            required=False,
            group="Return",
        ),
        Gate(
            name="criteria.verified",
            title="The daemon itself proved every required criterion (R70)",
            group="Proof",
        ),
        Gate(name="proof.fresh", title="Nothing changed while the checks ran (R80)", group="Proof"),
        Gate(name="receipt.written", title="The receipt is on disk, chained, and verifies", group="Proof"),
    )

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or (lambda: time.time())

    def run(self, task: Task, params: HandoffParams, ctx: Context) -> Outcome:
        """Compile, lint, publish, launch if the settings say so; then wait."""
        from handlers.handoff.flow import Flow

        return Flow(task, params, ctx, self._now).deliver()

    def arrived(self, task: Task, params: HandoffParams, ctx: Context) -> str | None:
        """Token of what is new in the packet's folder, or of the deadline that passed; looks only."""
        from handlers.handoff.flow import Flow

        return Flow(task, params, ctx, self._now).look()

    def resume(self, task: Task, params: HandoffParams, ctx: Context) -> Outcome:
        """Deal with one arrival."""
        from handlers.handoff.flow import Flow

        return Flow(task, params, ctx, self._now).resume()

    def cancel(self, task: Task, params: HandoffParams, ctx: Context) -> None:
        """Put CANCEL into the packet and take it out of the inbox."""
        from handlers.handoff.flow import Flow

        Flow(task, params, ctx, self._now).cancel()

    def offers(self, settings: dict[str, AgentSettings], home: Path) -> list[str]:
        """The agents that can be reached from this host, by slug and by every other name."""
        from handlers.handoff.agents import keys

        return [f"agent:{key}" for slug, agent in settings.items() for key in keys(slug, agent)]

    def needs(self, task: Task, params: HandoffParams, settings: dict[str, AgentSettings]) -> list[str]:
        """The agent that the task names. None or several: the delivery says what is wrong, on any host."""
        from handlers.handoff.agents import key

        wanted = [params.agent] if params.agent else [n for n in task.agents if n.strip()]
        return [f"agent:{key(wanted[0])}"] if len(wanted) == 1 else []

    def checks(self, settings: dict[str, AgentSettings], home: Path) -> list[Check]:
        """Doctor: each agent's folders, programs and workspaces."""
        from handlers.handoff.doctor import look

        return look(settings, home)
