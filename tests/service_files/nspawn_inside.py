"""Runs as ExecStartPre of the unit, so under its whole sandbox: what can be written, seen and done there."""

import ctypes
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path


def tried(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "ok"


def write(folder: str) -> str:
    return tried(lambda: Path(folder, "written-by-the-service").write_text("x"))


credential = Path(os.environ["CREDENTIALS_DIRECTORY"], "web_token")
seen = {
    "uid": os.getuid(),
    "state": write("/var/lib/handoffd"),
    "music": write("/srv/music"),
    "etc": write("/etc"),
    "usr": write("/usr"),
    "home": os.listdir("/home"),
    "credential_mode": oct(stat.S_IMODE(credential.stat().st_mode)),
    "credential_source": tried(lambda: Path("/etc/handoffd/credentials/web_token").read_bytes()),
    "packet_socket": tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "unix_socket": tried(socket.socketpair),
    "processes": len([p for p in os.listdir("/proc") if p.isdecimal()]),
    "executable_memory": "ok",
    "core_limit": __import__("resource").getrlimit(__import__("resource").RLIMIT_CORE)[0],
}
# A page that is writable and executable: what a JavaScript engine asks for.
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, ctypes.c_size_t(4096), 7, 0x22, -1, ctypes.c_size_t(0))
if page in (None, ctypes.c_void_p(-1).value):
    seen["executable_memory"] = os.strerror(ctypes.get_errno())
Path(os.environ["STATE_DIRECTORY"], "inside.json").write_text(json.dumps(seen))
