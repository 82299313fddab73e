"""Checkers for request bodies and query strings that refuse in the service's words and by its rules.

A check takes (value, path) and returns the problems it finds.  Measured on the service (Oct 2026):

- An object's members are read in the order of its schema; the first one that is missing or wrong answers
  alone.  Only when all hold is every unknown member "not present", in the order in which they were sent.
- The first wrong element of an array answers alone.
- A value that may be one of several forms is refused with what the forms say whose problems lie deepest,
  merged by place: that is where the lists below "Fix one:" come from.
- An optional member may also be `undefined`, and the refusal of its own value says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from daemon.local_board.errors import MISSING, failed, quote
from daemon.local_board.ids import parse_id

Path = tuple[str, ...]
"""Where a value stands: member names and "[index]"."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One place that does not fit: what stands there and what could.

    expected: "a string", "defined", "not present", "≤ `100`" and so on; optional: the member could be left
    out.
    """

    path: Path
    value: Any
    expected: tuple[str, ...]
    optional: bool = False

    def line(self) -> str:
        """ "<path> should be <expected>, instead was `<value>`."."""
        words = [*self.expected, "`undefined`"] if self.optional else list(self.expected)
        where = ".".join(self.path).replace(".[", "[")
        return f"{where} should be {either(words)}, instead was {quote(self.value)}."


Check = Callable[[Any, Path], list[Problem]]


def either(words: list[str]) -> str:
    """ "a", "a or b", "a, b, or c"."""
    if len(words) < 3:
        return " or ".join(words)
    return ", ".join(words[:-1]) + f", or {words[-1]}"


def wrong(path: Path, value: Any, *expected: str) -> list[Problem]:
    """The one problem of a value."""
    return [Problem(path, value, expected)]


def utf16(text: str) -> int:
    """Length in UTF-16 units, which is how the service counts text."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def string(maximum: int | None = None) -> Check:
    """A string of at most `maximum` UTF-16 units."""

    def check(value: Any, path: Path) -> list[Problem]:
        if not isinstance(value, str):
            return wrong(path, value, "a string")
        if maximum is not None and utf16(value) > maximum:
            return wrong((*path, "length"), utf16(value), f"≤ `{maximum}`")
        return []

    return check


def boolean(value: Any, path: Path) -> list[Problem]:
    """true or false."""
    return [] if isinstance(value, bool) else wrong(path, value, "a boolean")


def number(value: Any, path: Path) -> list[Problem]:
    """A finite JSON number."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return [] if fits else wrong(path, value, "a number")


def integer(minimum: int | None = None, maximum: int | None = None) -> Check:
    """A whole number within bounds."""

    def check(value: Any, path: Path) -> list[Problem]:
        if problems := number(value, path):
            return problems
        if value != int(value):
            return wrong(path, value, "an integer")
        if minimum is not None and value < minimum:
            return wrong(path, value, f"≥ `{minimum}`")
        if maximum is not None and value > maximum:
            return wrong(path, value, f"≤ `{maximum}`")
        return []

    return check


def uuid(value: Any, path: Path) -> list[Problem]:
    """An id, dashed or dashless."""
    if not isinstance(value, str):
        return wrong(path, value, "a string")
    return [] if parse_id(value) is not None else wrong(path, value, "a valid uuid")


def enum(*values: object) -> Check:
    """One of the given values."""
    named = tuple(quote(value) for value in values)

    def check(value: Any, path: Path) -> list[Problem]:
        fits = any(value == known and type(value) is type(known) for known in values)
        return [] if fits else wrong(path, value, *named)

    return check


def null(value: Any, path: Path) -> list[Problem]:
    """null alone."""
    return [] if value is None else wrong(path, value, "`null`")


def nullable(inner: Check) -> Check:
    """null, or what `inner` takes."""
    return any_of(inner, null)


def array(item: Check, maximum: int | None = 100) -> Check:
    """An array; 100 elements is the service's limit for every array in a request."""

    def check(value: Any, path: Path) -> list[Problem]:
        if not isinstance(value, list):
            return wrong(path, value, "an array")
        if maximum is not None and len(value) > maximum:
            return wrong((*path, "length"), len(value), f"≤ `{maximum}`")
        for index, element in enumerate(value):
            if problems := item(element, (*path, f"[{index}]")):
                return problems
        return []

    return check


def obj(fields: Mapping[str, Check], required: Iterable[str] = (), *, open_ended: bool = False) -> Check:
    """An object with these members; those not listed are refused unless it is open-ended."""
    needed = set(required)

    def check(value: Any, path: Path) -> list[Problem]:
        if not isinstance(value, dict):
            return wrong(path, value, "an object")
        for name, inner in fields.items():
            here = (*path, name)
            if name not in value:
                if name in needed:
                    return wrong(here, MISSING, "defined")
                continue
            if problems := inner(value[name], here):
                if name in needed:
                    return problems
                return [replace(one, optional=True) if one.path == here else one for one in problems]
        return [] if open_ended else not_present(value, fields, path)

    return check


def not_present(value: Mapping[str, Any], known: Iterable[str], path: Path) -> list[Problem]:
    """A problem for each member that nobody knows."""
    names = set(known)
    return [Problem((*path, name), value[name], ("not present",)) for name in value if name not in names]


def any_of(*checks: Check) -> Check:
    """A value that one of the checks takes; else what the deepest of them say, merged by place."""

    def check(value: Any, path: Path) -> list[Problem]:
        found: list[list[Problem]] = []
        for one in checks:
            problems = one(value, path)
            if not problems:
                return []
            found.append(problems)
        return _merged(found)

    return check


def _merged(found: list[list[Problem]]) -> list[Problem]:
    depth = max(len(problem.path) for problems in found for problem in problems)
    out: dict[Path, Problem] = {}
    for problems in found:
        if max(len(problem.path) for problem in problems) < depth:
            continue
        for problem in problems:
            known = out.get(problem.path)
            if known is None:
                out[problem.path] = problem
            else:
                expected = tuple(dict.fromkeys((*known.expected, *problem.expected)))
                optional = known.optional or problem.optional
                out[problem.path] = replace(known, expected=expected, optional=optional)
    return list(out.values())


def union(branches: Mapping[str, Check], *, extra: Iterable[str] = ("type",)) -> Check:
    """An object that carries one of several members, as the service's parents, files and filters do."""
    beside = dict.fromkeys(extra, anything)
    return one_member({name: {**beside, name: inner} for name, inner in branches.items()})


def one_member(forms: Mapping[str, Mapping[str, Check]]) -> Check:
    """An object in one of several forms, each named after the member that it needs."""
    checks = {name: obj(fields, (name,)) for name, fields in forms.items()}
    slow = any_of(*checks.values())

    def check(value: Any, path: Path) -> list[Problem]:
        if isinstance(value, dict):
            # The form whose member is there nearly always fits, and then the others need no look.
            for name in checks:
                if name in value and not checks[name](value, path):
                    return []
        return slow(value, path)

    return check


def anything(value: Any, path: Path) -> list[Problem]:
    """No demand; what is inside is checked later, when the schema is known."""
    return []


def json_object(value: Any, path: Path) -> list[Problem]:
    """Some object."""
    return [] if isinstance(value, dict) else wrong(path, value, "an object")


def members(inner: Check) -> Check:
    """An object with any names, each value of which `inner` takes; the first wrong one answers alone."""

    def check(value: Any, path: Path) -> list[Problem]:
        if not isinstance(value, dict):
            return wrong(path, value, "an object")
        for name, member in value.items():
            if problems := inner(member, (*path, name)):
                return problems
        return []

    return check


def check_part(part: str, value: Any, check: Check) -> None:
    """Raises the 400 that names every problem of "body", "query" or "path"."""
    if problems := check(value, (part,)):
        raise failed(part, [problem.line() for problem in problems])


def check_body(value: Any, check: Check) -> None:
    """The same for a body."""
    check_part("body", value, check)
