"""Which handler a task goes to. Explicit first, declared rules second, and "no handler" is a visible answer.

Rules are matched on whole words (the predecessor's substring match sent every "DriveSheetsSync" task to the
music sync, incident AT-21).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from daemon.core.task import Task

FIELDS = ("title", "description", "task_type", "next_step", "agent", "url")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One ordered rule: when ``field`` holds one of ``words`` (whole words, case folded), ``handler``."""

    handler: str
    field: str
    words: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``handler`` is "" when nothing matched; ``because`` says what decided, in words for the page."""

    handler: str
    because: str


def route(task: Task, rules: Sequence[Rule], known: Collection[str]) -> Route:
    """The Handler property, else the first rule that matches, else an assigned agent means ``handoff``."""
    if task.handler:
        return Route(handler=task.handler.strip(), because="the Handler property")
    for number, rule in enumerate(rules, 1):
        hit = _match(task, rule)
        if hit:
            label = rule.name or f"rule {number}"
            return Route(handler=rule.handler, because=f"{label}: {rule.field} has the word “{hit}”")
    if task.agents and "handoff" in known:
        return Route(handler="handoff", because="an agent is assigned")
    return Route(handler="", because="no Handler, no rule matched and no agent is assigned")


def _match(task: Task, rule: Rule) -> str:
    text = " ".join(task.agents) if rule.field == "agent" else str(getattr(task, rule.field))
    folded = text.casefold()
    for word in rule.words:
        if re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", folded):
            return word
    return ""
