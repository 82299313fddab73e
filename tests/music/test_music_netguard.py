"""The network guard's table and hook. No socket here leaves the machine: refusals come before connect."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.music.netguard import DENIED_V4, Guard, denied, networks

ROOT = Path(__file__).parents[2]
PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.0.8",
    "198.18.0.1",
    "203.0.113.9",
    "240.0.0.1",
    "::",
    "::1",
    "::127.0.0.1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "2001::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fec0::1",
    "3fff::1",
    "2606:4700::5efe:127.0.0.1",
    "100::1",
)
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2002:808:808::1",
    "::ffff:8.8.8.8",
)


@pytest.mark.parametrize("text", PRIVATE)
def test_T39_private_and_embedded_addresses_are_denied(text: str) -> None:
    assert denied(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_not(text: str) -> None:
    assert denied(ipaddress.ip_address(text)) == ""


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_judged_as_the_address_it_stands_for(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    forms = (
        0xFFFF << 32 | number,
        int(ipaddress.IPv6Address("64:ff9b::")) | number,
        0x2002 << 112 | number << 80,
    )
    for form in forms:
        assert bool(denied(ipaddress.IPv6Address(form))) == bool(denied(inner))


@given(st.sampled_from(DENIED_V4), st.integers(0, 2**32 - 1))
def test_every_address_of_a_denied_network_is_denied(net: ipaddress.IPv4Network, at: int) -> None:
    assert denied(net[at % net.num_addresses])


@given(st.text(max_size=30))
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    try:
        ipaddress.ip_address(text.split("%", 1)[0])
    except ValueError:
        assert Guard().verdict(text)


def test_the_settings_can_allow_networks_and_nothing_beside_them() -> None:
    guard = Guard(networks(["127.0.0.1", "10.2.0.0/16", "[::1]"]))
    assert guard.verdict("127.0.0.1") == guard.verdict("10.2.3.4") == guard.verdict("::1") == ""
    assert guard.verdict("::ffff:127.0.0.1") == ""
    assert guard.verdict("127.0.0.2") and guard.verdict("10.3.0.1") and guard.verdict("2130706433")


CODE = """
import os, socket, subprocess, sys
sys.path.append({root!r})
from handlers.music import netguard
guard = netguard.install([])
def tried(act):
    try:
        act()
    except netguard.Refused:
        return "refused"
    except OSError as error:
        return type(error).__name__
    return "done"
print(tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
      tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))),
      tried(lambda: socket.socket().connect_ex(("169.254.169.254", 80))),
      tried(lambda: socket.socket(socket.AF_UNIX).connect("/tmp/none.sock")),
      tried(lambda: subprocess.run(["/bin/true"])),
      tried(lambda: os.system("true")),
      len(guard.refused), len(guard.not_started))
"""


def test_the_hook_holds_a_whole_process() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", CODE.format(root=str(ROOT))], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["refused"] * 6 + ["4", "2"]
