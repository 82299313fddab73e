"""The launchd plist. Nothing on Linux knows its keys: the table here does (launchd.plist(5))."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon import resources
from daemon.cli import service
from daemon.cli.frame import Invocation
from daemon.cli.units import LABEL, Plan, launch_agent
from daemon.settings import Settings, load

SHIPPED = resources.launchd() / f"{LABEL}.plist"

TYPES: dict[str, type] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "ProcessType": str,
    "LowPriorityIO": bool,
    "Nice": int,
    "Umask": int,
    "WorkingDirectory": str,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "SoftResourceLimits": dict,
    "HardResourceLimits": dict,
    "UserName": str,
}
PLAN = Plan(
    argv=("/opt/handoffd/bin/handoffd",),
    path="/opt/homebrew/bin:/usr/bin:/bin",
    system=False,
    home=Path("/Users/me/Library/Application Support/handoffd"),
    logs=Path("/Users/me/Library/Logs/handoffd"),
)


def rendered(plan: Plan = PLAN) -> dict[str, Any]:
    loaded: dict[str, Any] = plistlib.loads(launch_agent(SHIPPED.read_bytes(), plan))
    return loaded


@pytest.mark.parametrize(
    "data", [plistlib.loads(SHIPPED.read_bytes()), rendered()], ids=["shipped", "rendered"]
)
def test_every_key_is_one_that_launchd_knows_with_its_type(data: dict[str, Any]) -> None:
    assert {k: type(v) for k, v in data.items()} == {k: TYPES[k] for k in data}
    assert data["Label"] == SHIPPED.stem == LABEL
    assert set(data["SoftResourceLimits"]) <= {"Core", "NumberOfFiles"}


def test_it_comes_back_after_a_failure_and_not_after_a_clean_stop() -> None:
    data = rendered()
    assert data["KeepAlive"] == {"SuccessfulExit": False}
    assert data["RunAtLoad"] is True
    assert data["ThrottleInterval"] >= 30
    assert data["ExitTimeOut"] > Settings().run.drain + 15
    assert data["ProcessType"] in ("Standard", "Background", "Adaptive", "Interactive")
    assert oct(data["Umask"]) == "0o27"


def test_nothing_is_left_to_fill_in_and_every_path_is_absolute() -> None:
    data = rendered()
    assert b"@" not in launch_agent(SHIPPED.read_bytes(), PLAN)
    assert data["ProgramArguments"] == ["/opt/handoffd/bin/handoffd", "run"]
    for key in ("WorkingDirectory", "StandardOutPath", "StandardErrorPath"):
        assert data[key].startswith("/")
        assert "~" not in data[key]
    assert data["EnvironmentVariables"]["PATH"].split(":")[0] == "/opt/homebrew/bin"


def test_no_secret_is_in_the_plist() -> None:
    for name in rendered()["EnvironmentVariables"]:
        assert not any(word in name.lower() for word in ("token", "secret", "password"))


def test_a_path_that_looks_like_xml_stays_a_path() -> None:
    home = Path("/Users/<me> & you/x")
    plan = Plan(argv=("/x",), path="/usr/bin", system=True, home=home, user="me")
    assert rendered(plan)["EnvironmentVariables"]["HANDOFFD_HOME"] == str(home)
    assert rendered(plan)["UserName"] == "me"


def test_a_job_without_a_home_is_refused() -> None:
    with pytest.raises(ValueError, match="home"):
        launch_agent(SHIPPED.read_bytes(), Plan(argv=("/x",), path="", system=False))


def test_the_folder_of_the_logs_is_there_before_launchd_opens_them(tmp_path: Path) -> None:
    plan = replace(PLAN, home=tmp_path / "home", config=None, logs=tmp_path / "home" / "logs")
    service._prepare(plan, system=False, launchd=False)
    assert not plan.logs.exists()
    service._prepare(plan, system=False, launchd=True)
    assert plan.logs.is_dir()


def test_the_logs_are_where_the_settings_say_or_below_the_home_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HANDOFFD_CONFIG", raising=False)

    def logs(**env: str) -> Path:
        return service._plan(Invocation(), load(home=tmp_path, env=env), system=False, write_to=()).logs

    monkeypatch.delenv("HANDOFFD_HOME", raising=False)
    assert logs() == Path.home() / "Library" / "Logs" / "handoffd"
    assert logs(HANDOFFD_PATHS__LOGS="mine") == tmp_path / "mine"
    monkeypatch.setenv("HANDOFFD_HOME", str(tmp_path))
    assert logs() == tmp_path / "logs"
