"""The system unit under a real systemd, booted in a container of its own: a few seconds, no network.

Needs root and systemd-nspawn (Debian: systemd-container); runs with ``make test-faults``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from daemon import resources
from daemon.cli.units import Plan, systemd_unit

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NSPAWN = shutil.which("systemd-nspawn")
UID = 990
CANARY = "canary-web-token-0123456789"

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.faults,
    pytest.mark.timeout(240),
    pytest.mark.skipif(NSPAWN is None, reason="no systemd-nspawn here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="booting a container needs root"),
    pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="no systemd here"),
]

FOLDERS = (
    "etc/systemd/system/handoffd.service.d",
    "etc/handoffd/credentials",
    "var/lib",
    "srv/music",
    "probe",
    "home/somebody",
    "root",
    "run",
    "tmp",
    "proc",
    "sys",
    "dev",
    "opt",
    "usr",
)  # fmt: skip - a list of names reads best as one block

DROP_IN = """\
[Service]
Environment=PYTHONPATH=/opt/handoffd:/opt/site
Environment=PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/opt/python/lib
ExecStartPre=/opt/python/bin/python3 /probe/inside.py
# Short, so that the test need not wait; the mechanism is the same.
WatchdogSec=6
TimeoutAbortSec=1
RestartSec=1
"""

PROBE = """\
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/opt/python/bin/python3 /probe/probe.py
StandardOutput=file:/probe/log
StandardError=file:/probe/log
"""


def build(rootfs: Path) -> None:
    """An empty system around the host's /usr, read-only."""
    for name in FOLDERS:
        (rootfs / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (rootfs / name).symlink_to(f"usr/{name}")
    etc = rootfs / "etc"
    (etc / "machine-id").write_text("")
    (etc / "os-release").write_text("ID=test\n")
    (etc / "passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\nhandoffd:x:{UID}:{UID}::/var/lib/handoffd:/bin/false\n"
    )
    (etc / "group").write_text(f"root:x:0:\nhandoffd:x:{UID}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "handoffd" / "handoffd.toml").write_text("")
    credential = etc / "handoffd" / "credentials" / "web_token"
    credential.write_text(CANARY)
    credential.chmod(0o600)
    os.chown(rootfs / "srv" / "music", UID, UID)
    plan = Plan(
        argv=("/opt/python/bin/python3", "-m", "daemon"),
        path="/usr/local/bin:/usr/bin:/bin",
        system=True,
        writable=(Path("/srv/music"), Path("/srv/not-mounted")),
        credentials=(("web_token", Path("/etc/handoffd/credentials/web_token")),),
    )
    shipped = (resources.systemd() / "handoffd.service").read_text(encoding="utf-8")
    units = etc / "systemd" / "system"
    (units / "handoffd.service").write_text(systemd_unit(shipped, plan))
    (units / "handoffd.service.d" / "test.conf").write_text(DROP_IN)
    (units / "probe.service").write_text(PROBE)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    wants = units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "probe.service").symlink_to("../probe.service")
    shutil.copy(HERE / "nspawn_probe.py", rootfs / "probe" / "probe.py")
    shutil.copy(HERE / "nspawn_inside.py", rootfs / "probe" / "inside.py")


def boot(rootfs: Path) -> str:
    argv = [
        str(NSPAWN),
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--private-network",
        "--console=pipe",
        f"--directory={rootfs}",
        "--bind-ro=/usr",
        f"--bind-ro={sys.base_prefix}:/opt/python",
        f"--bind-ro={sysconfig.get_path('purelib')}:/opt/site",
        f"--bind-ro={ROOT}:/opt/handoffd",
        "--boot",
    ]  # fmt: skip - one command line
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    rootfs = tmp_path_factory.mktemp("nspawn") / "rootfs"
    build(rootfs)
    said = boot(rootfs)
    result = rootfs / "probe" / "result.json"
    log = rootfs / "probe" / "log"
    assert result.exists(), f"{said}\n{log.read_text() if log.exists() else 'the probe did not run'}"
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_ready_was_sent_and_systemctl_shows_what_it_says(seen: dict[str, Any]) -> None:
    assert seen["started"]["ActiveState"] == "active"
    assert seen["started"]["SubState"] == "running"
    assert seen["started"]["NRestarts"] == "0"
    assert seen["started"]["StatusText"]


def test_it_may_write_its_state_and_the_music_and_nothing_else(seen: dict[str, Any]) -> None:
    inside = seen["inside"]
    assert inside["uid"] == UID
    assert (inside["state"], inside["music"]) == ("ok", "ok")
    assert inside["etc"] == inside["usr"] == "Read-only file system"
    assert inside["home"] == []
    assert inside["core_limit"] == 0


def test_the_sandbox_lets_the_tools_work_and_refuses_the_rest(seen: dict[str, Any]) -> None:
    inside = seen["inside"]
    assert inside["executable_memory"] == "ok"
    assert inside["unix_socket"] == "ok"
    assert inside["packet_socket"] != "ok"
    assert inside["processes"] <= 2


def test_a_credential_is_a_private_copy_and_not_in_the_environment(seen: dict[str, Any]) -> None:
    assert seen["inside"]["credential_mode"] in ("0o400", "0o440")
    assert seen["inside"]["credential_source"] == "Permission denied"
    assert CANARY not in json.dumps(seen["environment"])
    assert CANARY not in json.dumps(seen["journal"])


def test_reload_takes_the_new_settings_without_a_restart(seen: dict[str, Any]) -> None:
    assert seen["reloaded"]
    assert "poll.interval" in seen["reloaded"][0]


def test_a_daemon_that_hangs_is_restarted_by_the_watchdog(seen: dict[str, Any]) -> None:
    assert seen["watchdog"] == {"NRestarts": "1", "ActiveState": "active"}
    assert seen["watchdog_said"]
    assert seen["new_pid"]


def test_stop_is_clean_and_quick_when_nothing_runs(seen: dict[str, Any]) -> None:
    assert seen["stopped"]["ActiveState"] == "inactive"
    assert seen["stopped"]["Result"] == "success"
    assert float(seen["stopped"]["seconds"]) < 15


def test_wrong_settings_are_not_tried_again_and_again(seen: dict[str, Any]) -> None:
    assert seen["bad_settings"] == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}


def test_the_journal_has_the_priority_and_the_message_is_json(seen: dict[str, Any]) -> None:
    lines = [(p, json.loads(m)) for p, m in seen["journal"] if m and m.startswith("{")]
    assert [m["event"] for p, m in lines if p == "6"].count("daemon.started") >= 2
    assert not any(str(m).startswith("<") for _, m in seen["journal"])
