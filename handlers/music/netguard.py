"""Which addresses a download may reach, and the hook that holds a process to it.

The check is made at connect time on the very address that the socket goes to, so redirects, DNS answers
that change, HLS segments and thumbnails are all covered, however the URL spelled the host. The table is
explicit: ``ipaddress.is_global`` calls several embedded and reserved forms global (reliability.md T39).
Standard library only: it is loaded into the one-shot child before anything else.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA special-purpose registries (RFC 6890 and successors), plus multicast and the deprecated blocks.
DENIED_V4 = tuple(
    ipaddress.IPv4Network(n)
    for n in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is given out as global unicast; everything outside is refused."""
DENIED_V6 = tuple(
    ipaddress.IPv6Network(n)
    for n in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20", "5f00::/16")
)
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_ISATAP = (0x00005EFE, 0x02005EFE)

JS_RUNTIMES = ("deno", "node", "qjs", "quickjs", "bun")
"""The only programs that a download may start: yt-dlp needs one for YouTube."""


class Refused(PermissionError):
    """The guard said no; the message names the address."""


def denied(address: Address) -> str:
    """Why ``address`` may not be reached, "" = it is public."""
    if isinstance(address, ipaddress.IPv4Address):
        net4 = next((n for n in DENIED_V4 if address in n), None)
        return f"{address} is in {net4}" if net4 else ""
    number = int(address)
    if address in _MAPPED or address in _NAT64:
        return _embedded(address, number & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return _embedded(address, number >> 80 & 0xFFFFFFFF)
    if address not in GLOBAL_V6:
        return f"{address} is not a global address"
    net6 = next((n for n in DENIED_V6 if address in n), None)
    if net6:
        return f"{address} is in {net6}"
    if (number >> 32) & 0xFFFFFFFF in _ISATAP:
        return _embedded(address, number & 0xFFFFFFFF)
    return ""


def _embedded(address: Address, number: int) -> str:
    inner = ipaddress.IPv4Address(number)
    why = denied(inner)
    return f"{address} stands for {why}" if why else ""


def unwrapped(address: Address) -> Address:
    """The IPv4 address that a mapped IPv6 one stands for; others as they are."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Guard:
    """Decides for one process. ``allowed``: networks that are reached although the table refuses them."""

    def __init__(self, allowed: Iterable[Network] = (), programs: Sequence[str] = JS_RUNTIMES) -> None:
        self._allowed = tuple(allowed)
        self._programs = frozenset(programs)
        self.refused: list[str] = []
        """Addresses refused, in order: the cause to report, whatever error the caller made of it."""
        self.not_started: list[str] = []
        """Programs refused: yt-dlp looks for ffmpeg in passing and does without."""

    def verdict(self, host: object) -> str:
        """Why a socket may not go to ``host`` (as the socket gives it), "" = it may."""
        if not isinstance(host, str):
            return "only internet addresses may be reached"
        try:
            address = ipaddress.ip_address(host.split("%", 1)[0])
        except ValueError:
            # C code would resolve such a name (or 2130706433, 0x7f.1) by itself, past this check.
            return "the address is not a plain number"
        if any(_within(a, n) for a in (address, unwrapped(address)) for n in self._allowed):
            return ""
        return denied(address)

    def hook(self, event: str, args: tuple[Any, ...]) -> None:
        """The audit hook."""
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self._socket(args)
        elif event in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system"):
            self._program(event, args)

    def _socket(self, args: tuple[Any, ...]) -> None:
        target = args[1] if len(args) > 1 else None
        if target is None:  # sendmsg on a socket that was connected, and checked then
            return
        family = getattr(args[0], "family", socket.AF_INET)
        inet = family in (socket.AF_INET, socket.AF_INET6) and isinstance(target, tuple) and target
        why = self.verdict(target[0]) if inet else "only internet addresses may be reached"
        if why:
            self.refused.append(why)
            raise Refused(f"refused by the network guard: {why}")

    def _program(self, event: str, args: tuple[Any, ...]) -> None:
        name = args[0] if args else ""
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        base = text.replace("\\", "/").rsplit("/", 1)[-1].lower()
        if event == "os.system" or base not in self._programs:
            self.not_started.append(base[:40])
            raise Refused(f"refused by the network guard: starting the program {base[:40]!r}")


def _within(address: Address, network: Network) -> bool:
    return address.version == network.version and address in network


def networks(allow: Iterable[str]) -> list[Network]:
    """The networks that ``allow`` (hosts, addresses, CIDR) stands for; names are resolved here and now.

    A name that does not resolve allows nothing. ``*.name`` allows no private address: it can't be resolved.
    """
    out: list[Network] = []
    for entry in allow:
        rule = entry.strip().strip("[]")
        try:
            out.append(ipaddress.ip_network(rule, strict=False))
            continue
        except ValueError:
            pass
        if not rule or rule.startswith("*."):
            continue
        try:
            found = socket.getaddrinfo(rule, None, proto=socket.IPPROTO_TCP)
        except OSError:
            continue
        out += [ipaddress.ip_network(str(item[4][0]).split("%", 1)[0]) for item in found]
    return out


def install(allow: Iterable[str], programs: Sequence[str] = JS_RUNTIMES) -> Guard:
    """Hold this process to the guard from here on; there is no way to take an audit hook off again."""
    guard = Guard(networks(allow), programs)
    sys.addaudithook(guard.hook)
    return guard
