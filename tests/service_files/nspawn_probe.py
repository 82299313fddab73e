"""Runs inside the booted container, as root: drives the service by systemctl and writes down what it saw.

Standard library only; the test copies it in. Result: /probe/result.json.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

CONFIG = Path("/etc/handoffd/handoffd.toml")


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()


def show(*keys: str) -> dict[str, str]:
    said = run("systemctl", "show", "handoffd.service", *(f"-p{k}" for k in keys))
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def until(seconds: float, **wanted: str) -> dict[str, str]:
    end = time.monotonic() + seconds
    while True:
        found = show(*wanted)
        if found == wanted or time.monotonic() > end:
            return found
        time.sleep(0.1)


def journal() -> list[dict[str, str]]:
    lines = run("journalctl", "-u", "handoffd.service", "-o", "json", "--no-pager").splitlines()
    return [json.loads(line) for line in lines]


def main() -> None:
    seen: dict[str, object] = {}
    run("systemctl", "start", "handoffd.service")
    seen["started"] = show("ActiveState", "SubState", "StatusText", "NRestarts")
    seen["inside"] = json.loads(Path("/var/lib/handoffd/inside.json").read_text())
    seen["environment"] = Path(f"/proc/{show('MainPID')['MainPID']}/environ").read_text().split("\0")

    CONFIG.write_text("[poll]\ninterval = 11\n")
    run("systemctl", "reload", "handoffd.service")
    time.sleep(2.5)
    seen["reloaded"] = [e["MESSAGE"] for e in journal() if "config.reloaded" in str(e.get("MESSAGE"))]

    # The daemon hangs: the watchdog ends it, and it comes back.
    before = show("MainPID")["MainPID"]
    os.kill(int(before), signal.SIGSTOP)
    time.sleep(2)
    seen["watchdog"] = until(40, NRestarts="1", ActiveState="active")
    seen["watchdog_said"] = [e["MESSAGE"] for e in journal() if "Watchdog" in str(e.get("MESSAGE"))]
    seen["new_pid"] = show("MainPID")["MainPID"] != before

    began = time.monotonic()
    run("systemctl", "stop", "handoffd.service")
    seen["stopped"] = show("ActiveState", "Result") | {"seconds": str(time.monotonic() - began)}

    CONFIG.write_text("[poll]\ninterval = 'x'\n")
    run("systemctl", "reset-failed", "handoffd.service")
    run("systemctl", "start", "handoffd.service")
    time.sleep(13)  # longer than RestartSec
    seen["bad_settings"] = show("ActiveState", "ExecMainStatus", "NRestarts")
    seen["journal"] = [(e.get("PRIORITY"), e.get("MESSAGE")) for e in journal()]
    Path("/probe/result.json").write_text(json.dumps(seen, indent=1))


try:
    main()
except Exception:
    print(run("journalctl", "-u", "handoffd.service", "--no-pager", "-o", "cat"), flush=True)
    raise
finally:
    subprocess.run(["systemctl", "--force", "--force", "poweroff"], check=False)
