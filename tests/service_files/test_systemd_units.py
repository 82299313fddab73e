"""The systemd units: what systemd itself says of them, shipped and installed, and why each key is there."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from daemon import resources
from daemon.cli.managers import Systemd, check
from daemon.cli.units import Plan, systemd_unit
from daemon.core.errors import ConfigError, ExitCode
from daemon.settings import Settings

analyze = shutil.which("systemd-analyze")
needs_systemd = [pytest.mark.systemd, pytest.mark.skipif(analyze is None, reason="no systemd-analyze here")]

SYSTEM = resources.systemd() / "handoffd.service"
USER = resources.systemd() / "handoffd-user.service"

FULL = Plan(
    argv=(sys.executable, "-m", "daemon"),
    path="/opt/a b/bin:/usr/bin",
    system=True,
    home=Path("/srv/with blank/100%"),
    config=Path("/etc/handoffd/my $file.toml"),
    writable=(Path("/srv/music"), Path("/home/me/My Music"), Path('/srv/quo"te')),
    credentials=(("notion_token", Path("/etc/handoffd/credentials/notion_token")),),
)
BARE = Plan(argv=(sys.executable, "-m", "daemon"), path="/usr/bin", system=True)


def verify(folder: Path, text: str, *, user: bool = False) -> tuple[int, str]:
    file = folder / "handoffd.service"
    file.write_text(text, encoding="utf-8")
    argv = [str(analyze), "verify", *(["--user"] if user else []), str(file)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("plan", [None, BARE, FULL], ids=["shipped", "bare", "full"])
@pytest.mark.parametrize("user", [False, True], ids=["system", "user"])
class TestVerify:
    pytestmark = needs_systemd

    def test_systemd_has_nothing_to_say(self, tmp_path: Path, plan: Plan | None, user: bool) -> None:
        text = (USER if user else SYSTEM).read_text(encoding="utf-8")
        if plan is not None:
            text = systemd_unit(text, replace(plan, system=not user))
        assert verify(tmp_path, text, user=user) == (0, "")


@pytest.mark.parametrize("plan", [None, FULL], ids=["shipped", "full"])
class TestExposure:
    pytestmark = needs_systemd

    def test_the_system_unit_is_exposed_by_no_more_than_1_5(self, tmp_path: Path, plan: Plan | None) -> None:
        shipped = SYSTEM.read_text(encoding="utf-8")
        file = tmp_path / "handoffd.service"
        file.write_text(systemd_unit(shipped, plan) if plan else shipped, encoding="utf-8")
        argv = [str(analyze), "security", "--offline=true", "--no-pager", str(file)]
        assert subprocess.run([*argv, "--threshold=15"], capture_output=True, check=False).returncode == 0
        assert subprocess.run([*argv, "--threshold=5"], capture_output=True, check=False).returncode == 1


class TestObjections:
    pytestmark = needs_systemd

    def test_a_misspelt_key_is_noticed_although_systemd_exits_0(self, tmp_path: Path) -> None:
        wrong = SYSTEM.read_text(encoding="utf-8").replace("WatchdogSec=", "WatchdogSecs=")
        assert verify(tmp_path, wrong)[0] == 0
        with pytest.raises(ConfigError) as caught:
            check(Systemd(system=True), wrong.encode())
        assert "WatchdogSecs" in str(caught.value)

    def test_what_is_installed_passes_the_same_check(self) -> None:
        check(Systemd(system=True), Systemd(system=True).render(FULL))


def keys(file: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("file", [SYSTEM, USER], ids=["system", "user"])
def test_the_service_is_watched_and_told_and_restarted_only_when_that_can_help(file: Path) -> None:
    found = keys(file)
    assert found["Type"] == ["notify"]
    assert found["NotifyAccess"] == ["main"]
    assert int(found["WatchdogSec"][0]) >= 60
    assert found["Restart"] == ["on-failure"]
    assert found["KillMode"] == ["mixed"]
    assert found["StartLimitIntervalSec"] == ["0"]
    never = {int(code) for code in found["RestartPreventExitStatus"][0].split()}
    assert never == {64, ExitCode.USAGE, ExitCode.NOPERM, ExitCode.CONFIG}
    assert not never & {ExitCode.TEMPFAIL, ExitCode.UNAVAILABLE, ExitCode.BUG}


@pytest.mark.parametrize("file", [SYSTEM, USER], ids=["system", "user"])
def test_the_stop_is_given_longer_than_the_drain(file: Path) -> None:
    assert int(keys(file)["TimeoutStopSec"][0]) > Settings().run.drain + 15


@pytest.mark.parametrize("file", [SYSTEM, USER], ids=["system", "user"])
def test_what_would_break_the_work_is_not_switched_on(file: Path) -> None:
    found = keys(file)
    assert "MemoryDenyWriteExecute" not in found  # node, deno: V8 dies under it
    assert "DynamicUser" not in found  # owns nothing, so it can write no music
    assert found["SystemCallErrorNumber"] == ["EPERM"]  # without it node is killed for pkey_alloc
    assert found["LimitCORE"] == ["0"]
    assert "AF_UNIX" in found["RestrictAddressFamilies"][0]  # the notify socket


@pytest.mark.parametrize("file", [SYSTEM, USER], ids=["system", "user"])
def test_no_secret_is_in_the_environment_of_a_unit(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "LoadCredential=notion_token" in text
    assert not re.search(r"(?im)^Environment=.*(token|secret|password)", text)


def test_each_part_of_the_hardening_has_a_reason_beside_it() -> None:
    text = SYSTEM.read_text(encoding="utf-8")
    for relaxation in (
        "MemoryDenyWriteExecute",
        "DynamicUser",
        "PrivateNetwork",
        "notify-reload",
        "pkey_alloc",
    ):
        assert re.search(rf"(?m)^#.*{relaxation}", text), relaxation


def test_every_value_of_the_plan_is_in_the_unit_escaped_as_systemd_reads_it() -> None:
    text = systemd_unit(SYSTEM.read_text(encoding="utf-8"), FULL)
    lines = text.splitlines()
    assert f"ExecStart={sys.executable} -m daemon run" in lines
    assert 'Environment="HANDOFFD_HOME=/srv/with blank/100%%"' in lines
    assert 'Environment="HANDOFFD_CONFIG=/etc/handoffd/my $file.toml"' in lines
    assert 'Environment="PATH=/opt/a b/bin:/usr/bin"' in lines
    assert "LoadCredential=notion_token:/etc/handoffd/credentials/notion_token" in lines
    assert "ReadWritePaths=-/srv/music" in lines
    assert 'BindPaths="-/home/me/My Music"' in lines  # homes are empty in the unit: bound, not allowed
    assert 'ReadWritePaths="-/srv/quo\\"te"' in lines
    assert "#@" not in text


def test_a_line_break_in_a_path_can_not_add_a_key() -> None:
    evil = Plan(argv=("/x",), path="/usr/bin", system=True, home=Path("/a\nExecStartPre=/bin/evil"))
    with pytest.raises(ValueError, match="control characters"):
        systemd_unit(SYSTEM.read_text(encoding="utf-8"), evil)


def test_a_template_that_lost_a_line_is_noticed() -> None:
    with pytest.raises(ValueError, match="ExecStart"):
        systemd_unit("[Service]\n", BARE)


def test_the_units_are_well_formed() -> None:
    for file in (SYSTEM, USER):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read_string(file.read_text(encoding="utf-8"))
        assert parser.sections() == ["Unit", "Service", "Install"]
