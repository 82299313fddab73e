"""What the doctor says of a database: a property for each key, how sure, what to do. Plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.board.columns import SPECS
from daemon.board.schema import listed
from daemon.core.text import one_line, visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A property (or option) proposed for a key. ``confidence`` 0…1; ``because`` in words. ``others``: names
    that would fit as well, so that a person can choose.
    """

    key: str
    name: str
    type: str
    confidence: float
    because: str
    others: tuple[str, ...] = ()

    def note(self) -> str:
        """Confidence, reason and alternatives as a TOML comment."""
        also = f"; would fit as well: {listed(self.others)}" if self.others else ""
        return _note(f"{self.confidence:.2f}, {self.because}{also}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """A fix that only adds: a property for ``key``, or with ``option`` an option of the status property.

    ``text``: the same in words, as it stands among the fixes.
    """

    key: str
    name: str
    kind: str
    text: str
    option: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """``properties``: by key; ``statuses``: by canonical status name; ``fixes``: what a person must do,
    exact, in order; ``additions``: those of them that only add something, so that ``--apply`` can do them;
    ``drift``: what was renamed since it was pinned; ``off``: keys without a property, and what is off then.
    """

    properties: Mapping[str, Choice]
    statuses: Mapping[str, Choice]
    fixes: tuple[str, ...]
    additions: tuple[Addition, ...]
    drift: tuple[str, ...]
    off: Mapping[str, str]
    without: Mapping[str, str]
    """Keys that the settings say, or must say, to go without, since the property of that name can't serve;
    and why."""
    asked: bool
    """The settings, as they are, say this mapping already."""

    def settings(self, *, notes: bool = False) -> str:
        """The TOML lines that make this mapping hold, for what is not called as we call it. ``notes``: with
        the confidence of each, its reason and what else would fit, as comments."""
        lines = [
            f"{key} = {_quoted(choice.name)}{choice.note() if notes else ''}"
            for key, choice in self.properties.items()
            if choice.name != SPECS[key].name
        ]
        lines += [f'{key} = ""' + (_note(why) if notes else "") for key, why in self.without.items()]
        options = [
            f"{_quoted(status)} = {_quoted(choice.name)}{choice.note() if notes else ''}"
            for status, choice in self.statuses.items()
            if choice.name != status
        ]
        out = ["[board.properties]", *lines] if lines else []
        return "\n".join([*out, *(["[board.status]", *options] if options else [])])


def _note(text: str) -> str:
    return "  # " + visible(one_line(text, 200))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML takes JSON's escapes
