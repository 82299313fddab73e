"""``handoffd service`` in a home of its own; systemd itself does not run where the tests do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the paths are those of systemd")


class Machine:
    """A user's home below a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.unit = folder / "config" / "systemd" / "user" / "handoffd.service"
        self.home = folder / "data"
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "HANDOFFD_HOME": str(self.home),
        }

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "daemon", "service", *words, "--user"],
            cwd=ROOT,
            env={**self.env, **more},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_install_twice_then_uninstall_twice(machine: Machine) -> None:
    first = machine.run("install")
    assert first.returncode == 0, first.stderr
    assert machine.unit.stat().st_mode & 0o777 == 0o644
    assert (machine.home / "handoffd.toml").exists()
    before = machine.unit.read_bytes()
    again = machine.run("install")
    assert again.returncode == 0
    assert f"unchanged: {machine.unit}" in again.stderr
    assert machine.unit.read_bytes() == before
    assert machine.run("uninstall").returncode == 0
    assert not machine.unit.exists()
    assert (machine.home / "handoffd.toml").exists()
    gone = machine.run("uninstall")
    assert gone.returncode == 0
    assert "nothing to remove" in gone.stderr


def test_a_changed_file_is_shown_and_kept_until_yes_is_said(machine: Machine) -> None:
    machine.run("install")
    machine.unit.write_text(machine.unit.read_text().replace("Nice=10", "Nice=19"))
    asked = machine.run("install")
    assert asked.returncode == 1
    assert "-Nice=19" in asked.stderr
    assert "+Nice=10" in asked.stderr
    assert "hint:" in asked.stderr
    assert "Nice=19" in machine.unit.read_text()
    assert machine.run("install", "--yes").returncode == 0
    assert "Nice=10" in machine.unit.read_text()


def test_dry_run_prints_the_file_and_touches_nothing(machine: Machine) -> None:
    shown = machine.run("install", "--dry-run")
    assert shown.returncode == 0
    assert "[Service]" in shown.stdout
    assert "would run: systemctl --user daemon-reload" in shown.stderr
    assert not machine.unit.exists()
    assert not machine.home.exists()


def test_status_says_what_is_and_not_what_should_be(machine: Machine) -> None:
    none = machine.run("status", "--json")
    assert none.returncode == 1
    assert json.loads(none.stdout)["state"] == "not installed"
    machine.run("install")
    shown = json.loads(machine.run("status", "--json").stdout)
    assert shown["installed"] and shown["current"]
    if not shown["manager_runs"]:
        assert shown["state"] == "unknown"
    machine.unit.write_text("[Service]\n")
    assert json.loads(machine.run("status", "--json").stdout)["current"] is False


def test_what_only_this_shell_has_is_said(machine: Machine) -> None:
    token = "ntn_" + "a1" * 20
    said = machine.run("install", NOTION_TOKEN=token, HANDOFFD_POLL__INTERVAL="7").stderr
    assert "credentials/notion_token" in said
    assert "HANDOFFD_POLL__INTERVAL" in said
    assert token not in said + machine.unit.read_text()


def test_a_secret_that_is_a_file_becomes_a_credential(machine: Machine) -> None:
    folder = machine.home / "credentials"
    folder.mkdir(parents=True)
    (folder / "notion_token").write_text("ntn_x")
    assert machine.run("install").returncode == 0
    assert f"LoadCredential=notion_token:{folder}/notion_token" in machine.unit.read_text().splitlines()


def test_folders_outside_the_home_are_writable_for_the_service(machine: Machine, tmp_path: Path) -> None:
    machine.home.mkdir()
    (machine.home / "handoffd.toml").write_text(
        f'[music]\noutput = "{tmp_path}/library"\n[reports]\nfolder = "inside"\n'
        f'documents = "{tmp_path}/status"\n'
    )
    shown = machine.run("install", "--dry-run", "--write-to", f"{tmp_path}/more")
    assert f"ReadWritePaths=-{tmp_path}/library" in shown.stdout
    assert f"ReadWritePaths=-{tmp_path}/more" in shown.stdout
    assert f"ReadWritePaths=-{tmp_path}/status" in shown.stdout
    assert "inside" not in shown.stdout
