"""Service files: from the shipped text and a plan to the text that is installed. Pure."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABEL = "local.handoffd"
UNIT = "handoffd.service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a service file has to say about this machine."""

    argv: tuple[str, ...]
    """The program, absolute, without ``run``."""
    path: str
    """PATH of the service."""
    system: bool
    home: Path | None = None
    """None: what the unit has by default."""
    config: Path | None = None
    writable: tuple[Path, ...] = ()
    """Folders outside of the home folder that it may write."""
    credentials: tuple[tuple[str, Path], ...] = ()
    """Secrets for LoadCredential=, by name: files that are there."""
    user: str = "handoffd"
    logs: Path = Path("/var/log/handoffd")
    """launchd only."""


def systemd_unit(shipped: str, plan: Plan) -> str:
    """The unit with the plan's values. ValueError when the shipped text lacks a line that has to be set."""
    values = {
        "ExecStart": " ".join(_word(a, command=True) for a in (*plan.argv, "run")),
    }
    variables = {"PATH": plan.path, "HANDOFFD_HOME": plan.home, "HANDOFFD_CONFIG": plan.config}
    if plan.system:
        values |= {"User": plan.user, "Group": plan.user}
    text = shipped
    for key, value in values.items():
        text = _set(text, f"{key}=", value)
    for name, content in variables.items():
        if content is not None:
            text = _set(text, f"Environment={name}=", _word(f"{name}={content}"))
    if not plan.system and plan.home is not None:
        text = _set(text, "ReadWritePaths=", _word(str(plan.home)))
    return _fill(
        text,
        {
            "CREDENTIALS": [f"LoadCredential={name}:{_value(str(file))}" for name, file in plan.credentials],
            "WRITABLE": [_writable(folder, plan) for folder in plan.writable],
        },
    )


def _writable(folder: Path, plan: Plan) -> str:
    # A system unit sees empty homes: what is below one has to be bound in. "-": a volume that is not there
    # must not keep the service from starting; the run that needs it says so.
    in_home = any(folder.is_relative_to(place) for place in ("/home", "/root", "/run/user"))
    return f"{'BindPaths' if plan.system and in_home else 'ReadWritePaths'}={_word(f'-{folder}')}"


def _set(text: str, start: str, value: str) -> str:
    line = re.compile(rf"^{re.escape(start)}.*$", re.MULTILINE)
    if len(line.findall(text)) != 1:
        raise ValueError(f"the unit file has not exactly one line {start}")
    return line.sub(lambda _: f"{start.partition('=')[0]}={value}", text)


def _fill(text: str, blocks: Mapping[str, Sequence[str]]) -> str:
    for name, lines in blocks.items():
        marker = f"#@{name}@\n"
        if text.count(marker) != 1:
            raise ValueError(f"the unit file has not exactly one line {marker.strip()}")
        text = text.replace(marker, "".join(f"{line}\n" for line in lines))
    return text


def _value(text: str) -> str:
    """A value that is a line's whole end: only specifiers need escaping."""
    if any(ord(c) < 32 for c in text):
        raise ValueError(f"control characters can't stand in a unit file: {text!r}")
    return text.replace("%", "%%")


def _word(text: str, *, command: bool = False) -> str:
    """One word of a list, quoted when it has to be (systemd.syntax(7))."""
    text = _value(text).replace("\\", "\\\\").replace('"', '\\"')
    if command:
        text = text.replace("$", "$$")
    return f'"{text}"' if re.search(r"[\s\"'\\;]", text) else text


def launch_agent(shipped: bytes, plan: Plan) -> bytes:
    """The property list with the plan's values."""
    data: dict[str, Any] = plistlib.loads(shipped)
    if plan.home is None:
        raise ValueError("a launchd job needs a home folder")
    data["ProgramArguments"] = [*plan.argv, "run"]
    data["EnvironmentVariables"] = {"HANDOFFD_HOME": str(plan.home), "PATH": plan.path}
    if plan.config is not None:
        data["EnvironmentVariables"]["HANDOFFD_CONFIG"] = str(plan.config)
    data["WorkingDirectory"] = str(plan.home)
    data["StandardOutPath"] = str(plan.logs / "handoffd.log")
    data["StandardErrorPath"] = str(plan.logs / "handoffd.err.log")
    if plan.system:
        data["UserName"] = plan.user
    return plistlib.dumps(data, sort_keys=False)
