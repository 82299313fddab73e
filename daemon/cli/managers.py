"""The service managers: where a file goes, and what they say and do. One class each, the same questions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from daemon.cli.units import LABEL, UNIT, Plan, launch_agent, systemd_unit
from daemon.core.errors import ConfigError, Unreachable

START_LIMIT_S = 90.0
"""How long a start may take until the manager says it is running: TimeoutStartSec= and a little."""


class Manager(Protocol):
    """systemd or launchd, for one user or the whole system."""

    name: str
    file: Path

    def render(self, plan: Plan) -> bytes:
        """The service file."""

    def objections(self, content: bytes) -> list[str]:
        """What the manager's own checker says of it; empty = nothing, or there is no checker here."""

    def running(self) -> bool:
        """Whether the manager itself is there to be talked to."""

    def start_commands(self) -> list[list[str]]:
        """What makes a new or changed file live."""

    def stop_commands(self) -> list[list[str]]:
        """What ends the service before its file is removed."""

    def after_removal(self) -> list[list[str]]:
        """What makes the manager forget the file."""

    def state(self) -> dict[str, str]:
        """What it says of the service: ``state`` (running | stopped | failed | unknown), ``enabled`` …"""


def manager_for(*, system: bool, platform: str = sys.platform) -> Manager:
    """The one of this machine."""
    return Launchd(system) if platform == "darwin" else Systemd(system)


class Systemd:
    """systemd, system or user."""

    name = "systemd"

    def __init__(self, system: bool) -> None:
        self._system = system
        self._systemctl = ["systemctl"] if system else ["systemctl", "--user"]
        if system:
            self.file = Path("/etc/systemd/system") / UNIT
        else:
            config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
            self.file = Path(config) / "systemd" / "user" / UNIT

    def render(self, plan: Plan) -> bytes:
        from daemon import resources

        shipped = resources.systemd() / ("handoffd.service" if self._system else "handoffd-user.service")
        return systemd_unit(shipped.read_text(encoding="utf-8"), plan).encode()

    def objections(self, content: bytes) -> list[str]:
        """``systemd-analyze verify`` exits 0 for a misspelt key: only silence is approval."""
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            return []
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / UNIT
            file.write_bytes(content)
            argv = [analyze, "verify", *([] if self._system else ["--user"]), str(file)]
            env = {**os.environ, "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR") or folder}
            done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
        said = (done.stdout + done.stderr).replace(str(file), UNIT).splitlines()
        return said or ([f"systemd-analyze verify ended {done.returncode}"] if done.returncode else [])

    def running(self) -> bool:
        # sd_booted(3): this folder is there if, and only if, systemd is the init system.
        if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
            return False
        return self._system or _ask([*self._systemctl, "show-environment"]) is not None

    def start_commands(self) -> list[list[str]]:
        return [
            [*self._systemctl, "daemon-reload"],
            [*self._systemctl, "enable", UNIT],
            [*self._systemctl, "restart", UNIT],
        ]

    def stop_commands(self) -> list[list[str]]:
        return [[*self._systemctl, "disable", "--now", UNIT]]

    def after_removal(self) -> list[list[str]]:
        return [[*self._systemctl, "daemon-reload"]]

    def state(self) -> dict[str, str]:
        keys = ("LoadState", "ActiveState", "SubState", "UnitFileState", "StatusText", "NRestarts", "Result")
        said = _ask([*self._systemctl, "show", UNIT, *(f"-p{k}" for k in keys)]) or ""
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        words = {"active": "running", "reloading": "running", "failed": "failed", "inactive": "stopped"}
        return {
            "state": words.get(found.get("ActiveState", ""), found.get("ActiveState") or "unknown"),
            "enabled": found.get("UnitFileState") or "unknown",
            "says": found.get("StatusText", ""),
            "restarts": found.get("NRestarts", ""),
            "result": found.get("Result", ""),
        }


class Launchd:
    """launchd: an agent of this user, or a daemon of the system."""

    name = "launchd"

    def __init__(self, system: bool) -> None:
        folder = Path("/Library/LaunchDaemons") if system else Path.home() / "Library" / "LaunchAgents"
        self.file = folder / f"{LABEL}.plist"
        self._domain = "system" if system else f"gui/{os.getuid()}"

    def render(self, plan: Plan) -> bytes:
        from daemon import resources

        return launch_agent((resources.launchd() / f"{LABEL}.plist").read_bytes(), plan)

    def objections(self, content: bytes) -> list[str]:
        plutil = shutil.which("plutil")
        if plutil is None:
            return []
        done = subprocess.run([plutil, "-lint", "-s", "-"], input=content, capture_output=True, check=False)
        return [] if done.returncode == 0 else (done.stdout + done.stderr).decode().splitlines()

    def running(self) -> bool:
        return shutil.which("launchctl") is not None

    def start_commands(self) -> list[list[str]]:
        return [
            ["launchctl", "bootstrap", self._domain, str(self.file)],
            ["launchctl", "kickstart", "-k", f"{self._domain}/{LABEL}"],
        ]

    def stop_commands(self) -> list[list[str]]:
        loaded = _ask(["launchctl", "print", f"{self._domain}/{LABEL}"]) is not None
        return [["launchctl", "bootout", f"{self._domain}/{LABEL}"]] if loaded else []

    def after_removal(self) -> list[list[str]]:
        return []

    def state(self) -> dict[str, str]:
        said = _ask(["launchctl", "print", f"{self._domain}/{LABEL}"])
        if said is None:
            return {"state": "stopped", "enabled": "no"}
        found = dict(line.strip().split(" = ", 1) for line in said.splitlines() if " = " in line)
        running = found.get("state") == "running"
        return {
            "state": "running" if running else "stopped",
            "enabled": "yes",
            "result": found.get("last exit code", ""),
        }


def act(commands: Sequence[Sequence[str]]) -> None:
    """Run the manager's commands in order. Unreachable with its own words when one fails."""
    for argv in commands:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=START_LIMIT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreachable(f"{' '.join(argv)}: {error}") from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
            raise Unreachable(
                f"{' '.join(argv)}: {said}", hint="the file is written; `handoffd service status` says more"
            )


def check(manager: Manager, content: bytes) -> None:
    """ConfigError with everything that the manager's checker objects to."""
    found = manager.objections(content)
    if found:
        raise ConfigError(
            f"{manager.name} would not take the service file",
            problems=tuple(found),
            hint="nothing was written; this is a bug in handoffd or a path that can't stand in such a file",
        )


def _ask(argv: Sequence[str]) -> str | None:
    """What a command prints; None when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=15)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
