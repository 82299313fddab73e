"""Reading what an agent wrote: steps R00 and R10 of the pipeline. Nothing that comes in is trusted.

Strict on purpose: of 29 real files of the predecessor two were not JSON and one was 62 KB of repeated objects
(incident HF-5); a FIFO or a link at the file's name must neither hang nor lead anywhere (threats T10, T11).
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from handlers.handoff.disk import sha256
from handlers.handoff.model import Doc, Finding

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
STABLE_S = 2.0
"""A file younger than this may still be written to (paperless-ngx's rule)."""

D = TypeVar("D", bound=Doc)


class Refused(Exception):
    """The file can't be accepted; ``findings`` say why, the first one first."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__(findings[0].code)
        self.findings = findings


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was read: its identity and its JSON object."""

    sha256: str
    doc: dict[str, Any]
    data: bytes


def finding(code: str, field: str, expected: str, got: str, how: str) -> Finding:
    """A finding with the code's standing name."""
    return Finding(code=code, name=NAMES[code], field=field, expected=expected, got=got[:500], how_to_fix=how)


NAMES = {
    "R00": "unreadable",
    "R10": "schema",
    "R20": "identity",
    "R30": "fenced",
    "R40": "coverage",
    "R50": "substance",
    "R60": "no_change",
    "R70": "check_failed",
    "R71": "check_error",
    "R80": "stale_proof",
    "R90": "followups_held",
    "R95": "write_unconfirmed",
}
"""Stable codes. R90 holds a follow-up and R95 is the page's own; neither refuses a return."""


def signature(path: Path) -> tuple[str, float] | None:
    """What is at ``path``, cheaply: (identity, modification time in s); None when nothing is there."""
    try:
        state = path.lstat()
    except FileNotFoundError:
        return None
    return f"{state.st_mode:o}-{state.st_size}-{state.st_mtime_ns}-{state.st_ino}", state.st_mtime


def receive(path: Path) -> Received:
    """Step R00: a plain, small, whole, strict JSON file. Raises Refused, or FileNotFoundError."""
    data = _bytes(path)
    return Received(sha256=sha256(data), doc=strict_json(data), data=data)


def identify(path: Path) -> str:
    """SHA-256 of a readable file, else of what stands there instead: what a refusal is remembered by."""
    try:
        return sha256(_bytes(path))
    except Refused:
        there = signature(path)
        return sha256((there[0] if there else "gone").encode())


def _bytes(path: Path) -> bytes:
    how = "write a plain file to another name here, then rename it"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as err:
        got = "a link" if path.is_symlink() else err.strerror or "an error"
        raise Refused(finding("R00", path.name, "a regular file", got, how)) from err
    with os.fdopen(fd, "rb", closefd=True) as file:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise Refused(finding("R00", path.name, "a regular file", "a FIFO, folder or device", how))
        if state.st_nlink != 1:
            raise Refused(
                finding("R00", path.name, "a file with one name", f"{state.st_nlink} hard links", how)
            )
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Refused(
            finding(
                "R00",
                path.name,
                f"at most {MAX_BYTES} bytes",
                f"{state.st_size} bytes",
                "shorten output_tail",
            )
        )
    return data


def strict_json(data: bytes) -> dict[str, Any]:
    """One JSON object: UTF-8, no duplicate keys, no NaN, ≤ 32 levels, nothing after it. Raises Refused."""

    def bad(expected: str, got: str) -> Refused:
        return Refused(finding("R00", "$", expected, got, "write the file with a JSON library"))

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise bad("UTF-8 text", f"byte {err.start} is not") from err
    if depth(text) > MAX_DEPTH:
        raise bad(f"at most {MAX_DEPTH} levels", "deeper nesting")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_no_twins,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_small,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as err:
        raise bad("one JSON object", f"{err.msg} (line {err.lineno}, column {err.colno})") from err
    except UnicodeEncodeError as err:
        raise bad("whole characters", "half of a surrogate pair") from err
    except ValueError as err:
        raise bad("strict JSON", str(err)) from err
    if not isinstance(value, dict):
        raise bad("one JSON object", type(value).__name__)
    return value


def depth(text: str) -> int:
    """Deepest nesting of brackets outside strings."""
    level = deepest = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text, re.DOTALL):
        char = token.group(0)[0]
        if char in "[{":
            level += 1
            deepest = max(deepest, level)
        elif char in "]}":
            level -= 1
    return deepest


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        keys = [k for k, _ in pairs]
        twin = next(k for k in keys if keys.count(k) > 1)
        raise ValueError(f"the key {twin[:60]!r} stands twice in one object")
    return out


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _small(text: str) -> int:
    if len(text) > 20:
        raise ValueError("a number is too large")
    return int(text)


def typed(doc: dict[str, Any], kind: type[D]) -> D:
    """Step R10: the document as its type. Unknown fields may be there, unknown enum values not.

    Raises Refused.
    """
    schema = next(f.default for f in msgspec.structs.fields(kind) if f.name == "schema")
    if doc.get("schema") != schema:
        raise Refused(
            finding(
                "R10",
                "$.schema",
                str(schema),
                repr(doc.get("schema")),
                "copy the template and keep its fields",
            )
        )
    try:
        return msgspec.convert(doc, kind, strict=True)
    except msgspec.ValidationError as err:
        message, _, where = str(err).partition(" - at `")
        raise Refused(
            finding("R10", where.rstrip("`") or "$", message, "see field", "see schemas/ in the packet")
        ) from err
