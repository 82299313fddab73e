"""Types of arguments that several commands take."""

from __future__ import annotations

import re
from typing import Any

import click

_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class TaskId(click.ParamType[str]):
    """Full id, dashless id or page URL → 32 hex digits. Never a part of an id (incident AT-19)."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from daemon.core.ids import normalise

        try:
            return normalise(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class RunId(click.ParamType[str]):
    """``<32 hex>.g<number>``."""

    name = "RUN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from daemon.core.ids import run_id, split_run_id

        try:
            return run_id(*split_run_id(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class StatusName(click.ParamType[str]):
    """A status in its canonical spelling, in any case."""

    name = "STATUS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from daemon.core.status import Status

        wanted = " ".join(str(value).replace("_", " ").split()).lower()
        found = next((s.value for s in Status if s.value.lower() == wanted), None)
        if found is None:
            self.fail(f"“{value}” is none of: {', '.join(s.value for s in Status)}", param, ctx)
        return found


class Span(click.ParamType[float]):
    """``30m``, ``24h``, ``7d``, ``2w`` → seconds."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = _SPAN.fullmatch(str(value).strip().lower())
        if match is None:
            self.fail(f"“{value}” is no span: a number and s, m, h, d or w, as in 7d", param, ctx)
        return float(match[1]) * _SECONDS[match[2]]


class KeyValue(click.ParamType[tuple[str, str]]):
    """``key=value``; the value is TOML, or else text. A key may be dotted: ``check.AC1=tests``."""

    name = "K=V"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, rest = str(value).partition("=")
        key = key.strip()
        if not equals or not _KEY.fullmatch(key):
            self.fail(f"“{value}” is not key=value", param, ctx)
        return key, rest.strip()


def toml_lines(pairs: tuple[tuple[str, str], ...]) -> str:
    """The Parameters text: one TOML line each; what is not TOML by itself becomes a string."""
    import tomllib

    lines = []
    for key, value in pairs:
        line = f"{key} = {value}"
        try:
            read: Any = tomllib.loads(line)
            for part in key.split("."):
                if list(read) != [part]:
                    raise ValueError("more than one key")
                read = read[part]
        except ValueError:  # TOMLDecodeError is one
            import json

            line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        lines.append(line)
    return "\n".join(lines)
