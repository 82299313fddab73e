"""The declared minimal schema (contract.md §3): what each key is called by default and which types it may
have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.core.status import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One key. ``types``: accepted property types, the first is what set-up creates (text for those of
    ``fixes.TEXT_INSTEAD``). ``serves``: what is off without it, in words."""

    key: str
    name: str
    types: tuple[str, ...]
    serves: str
    required: bool = False


def _spec(key: str, name: str, types: str, serves: str, required: bool = False) -> Spec:
    return Spec(key=key, name=name, types=tuple(types.split()), serves=serves, required=required)


SPECS: Mapping[str, Spec] = {
    s.key: s
    for s in (
        _spec("title", "Task Name", "title", "the task's name", required=True),
        _spec("status", "Status", "status select", "everything", required=True),
        _spec("priority", "Priority", "select status number", "order by priority (all are Medium)"),
        _spec("description", "Description", "rich_text", "the task's text from a property"),
        _spec("handler", "Handler", "select rich_text", "naming a handler (only rules and agents route)"),
        _spec(
            "agent",
            "Assigned-Agent",
            "relation rollup select multi_select people rich_text",
            "routing of handoffs to an agent",
        ),
        _spec("task_type", "Task Type", "select rich_text", "rules on the task's type"),
        _spec("url", "URL", "url rich_text", "the input of a music sync"),
        _spec("parameters", "Parameters", "rich_text", "parameters of a task"),
        _spec("next_step", "Next Required Step", "rich_text", "the next step in a handoff"),
        _spec("acceptance", "Success Criteria", "rich_text", "success criteria in a handoff"),
        _spec("due", "Target Date", "date", "order by due date"),
        _spec("after", "Prerequisite Tasks", "relation", "waiting for other tasks"),
        _spec("claim", "Claim", "rich_text", "the claim on the page, which fences late writes"),
        _spec("why", "Why", "rich_text", "the reason on the page"),
        _spec("result", "Result", "rich_text", "the result on the page"),
        _spec("report", "Report", "url files rich_text", "the report's link on the page"),
        _spec("attempts", "Attempts", "number", "the attempt's number on the page"),
        _spec("source_key", "Source Key", "rich_text", "tasks made by schedules, webhooks and follow-ups"),
        _spec("schedule", "Schedule", "rich_text", "template tasks with a cron expression"),
        _spec("number", "ID", "unique_id", "stable order of tasks made in one minute"),
    )
}

WRITTEN = (
    Status.READY,
    Status.IN_PROGRESS,
    Status.COMPLETED,
    Status.FAILED,
    Status.BLOCKED,
    Status.REVIEW,
    Status.WAITING,
)
"""Statuses that the daemon sets or asks for: the board must have an option for each."""

GROUPS: Mapping[Status, str] = {
    Status.DRAFT: "To-do",
    Status.PLANNING: "To-do",
    Status.READY: "To-do",
    Status.IN_PROGRESS: "In progress",
    Status.WAITING: "In progress",
    Status.REVIEW: "In progress",
    Status.BLOCKED: "In progress",
    Status.COMPLETED: "Complete",
    Status.FAILED: "Complete",
    Status.CANCELLED: "Complete",
    Status.ARCHIVED: "Complete",
}
"""Group of a status property that set-up puts each option in."""
