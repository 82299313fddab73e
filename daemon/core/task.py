"""A task: one row of the Agent-Tasks board, normalised. And a draft of one, to be created."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from daemon.core.claim import Claim
from daemon.core.status import Status


class Priority(IntEnum):
    """Lower is sooner. Empty on the board means Medium, everywhere (the predecessor had three defaults)."""

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3

    @classmethod
    def parse(cls, text: str | float | None) -> Priority | None:
        """``Critical`` … ``Low``, ``P0`` … ``P3`` or 0 … 3; None when it is none of these."""
        if text is None or text == "":
            return cls.MEDIUM
        if isinstance(text, int | float):
            return cls(int(text)) if int(text) == text and 0 <= text <= 3 else None
        word = text.strip().upper()
        if word in cls.__members__:
            return cls[word]
        if len(word) == 2 and word[0] == "P" and word[1] in "0123":
            return cls(int(word[1]))
        return None

    @property
    def label(self) -> str:
        """As the board spells it."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row as read. Text fields hold all rich-text runs joined; ids are 32 hex digits; times are UTC."""

    id: str
    title: str
    status: Status | None
    """None: the page has a status that is not in the vocabulary (shown in ``status_name``)."""
    status_name: str = ""
    priority: Priority = Priority.MEDIUM
    handler: str = ""
    agents: tuple[str, ...] = ()
    """Assigned agents by name, as the property gives them."""
    task_type: str = ""
    url: str = ""
    description: str = ""
    parameters: str = ""
    """TOML ``key = value`` lines, typed by the handler's Params."""
    next_step: str = ""
    acceptance: tuple[str, ...] = ()
    """Success criteria, one a line."""
    due: datetime | None = None
    after: tuple[str, ...] = ()
    """Ids of prerequisite tasks."""
    claim: Claim | None = None
    why: str = ""
    result: str = ""
    report: str = ""
    attempts: int = 0
    source_key: str = ""
    schedule: str = ""
    number: int | None = None
    page_url: str = ""
    created: datetime
    edited: datetime
    edited_by: str = ""
    by_person: bool = False
    """The last edit was not our own: as far as the board can tell, a person's. Known for Ready rows only."""

    @property
    def agent(self) -> str:
        """The assigned agent's name, or "" when there is none or more than one."""
        return self.agents[0] if len(self.agents) == 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A task to be created. ``source_key`` makes creation idempotent: one key, one page, ever."""

    title: str
    status: Status = Status.READY
    priority: Priority = Priority.MEDIUM
    handler: str = ""
    agent: str = ""
    task_type: str = ""
    url: str = ""
    description: str = ""
    parameters: str = ""
    acceptance: tuple[str, ...] = ()
    due: datetime | None = None
    after: tuple[str, ...] = ()
    source_key: str = ""
    body: str = ""
    """Markdown for the page body."""
    extra: dict[str, str] = field(default_factory=dict)
