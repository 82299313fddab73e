"""URLs as untrusted input: one strict reading, the canonical form, the platform. Pure.

Rules (research/reliability.md T38, T39): https; http only for hosts that the settings allow; no user-info,
backslash, control character or white space; a host name in plain characters. What the host resolves to is
the network guard's business, at connect time.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from daemon.sdk import BlockedError, PermanentError
from handlers.music.model import Source

MAX_LENGTH = 2048
_BAD = re.compile(r"[\x00-\x20\x7f-\xa0\\<>\"{}|^`\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*\.?")
_TRACKING = re.compile(r"(utm_.*|si|fbclid|gclid|igshid|ref|feature|pp|in|t|start|list|index)")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")

_PLATFORMS = {
    "youtube.com": "youtube",
    "youtu.be": "youtube",
    "soundcloud.com": "soundcloud",
    "bandcamp.com": "bandcamp",
}


def platform_of(host: str) -> str:
    """youtube | soundcloud | bandcamp | direct, by whole labels of the host name."""
    for suffix, name in _PLATFORMS.items():
        if host == suffix or host.endswith(f".{suffix}"):
            return name
    return "direct"


def host_allowed(host: str, allow: Sequence[str]) -> bool:
    """Whether the settings name this host: by name, ``*.name`` for what lies below it, address or CIDR."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        address = None
    for entry in allow:
        rule = entry.strip().lower().strip("[]")
        if rule.startswith("*.") and host.endswith(rule[1:]):
            return True
        if rule == host.strip("[]"):
            return True
        if address is not None and "/" in rule:
            try:
                if address in ipaddress.ip_network(rule, strict=False):
                    return True
            except ValueError:
                continue
    return False


def parse(text: str, allow: Sequence[str] = ()) -> Source:
    """The source that ``text`` names.

    Raises PermanentError when it is no usable URL, BlockedError when the settings would have to allow it.
    """
    raw = text.strip()
    if not raw:
        raise PermanentError("the task has no URL", hint="put the track's address into URL")
    if len(raw) > MAX_LENGTH or _BAD.search(raw):
        raise PermanentError(
            "the URL is too long or has characters that do not belong into one", hint="correct URL"
        )
    try:
        parts = urlsplit(raw)
        port = parts.port
    except ValueError as error:
        raise PermanentError(f"not a URL: {error}", hint="correct URL") from error
    host = (parts.hostname or "").lower().rstrip(".")
    if parts.scheme not in ("http", "https") or not host:
        raise PermanentError("not a web address: it must begin with https://", hint="correct URL")
    if "@" in parts.netloc:
        raise PermanentError("a URL with a user name or password is not taken", hint="remove it from URL")
    if not _plain_host(host):
        raise PermanentError("the URL's host name is not written in plain characters", hint="correct URL")
    platform = platform_of(host)
    allowed = host_allowed(host, allow)
    if platform == "direct" and not allowed:
        raise BlockedError(
            f"{host} is not a known platform, and the settings do not allow it",
            hint=f"add {host} to music.allow_hosts if its files may be fetched",
        )
    if parts.scheme == "http" and not allowed:
        raw = f"https://{raw.split('://', 1)[1]}"
        parts = urlsplit(raw)
    if port not in (None, 80, 443) and not allowed:
        raise BlockedError(f"port {port} of {host} is not allowed", hint=f"add {host} to music.allow_hosts")
    url = _canonical(parts.scheme, host, port, parts.path, parts.query, platform)
    return Source(url=url, host=host, platform=platform, key=_key(url, host, platform))


def _plain_host(host: str) -> bool:
    if _HOST.fullmatch(host):
        return True
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _canonical(scheme: str, host: str, port: int | None, path: str, query: str, platform: str) -> str:
    """Tracking parameters, fragment and default port removed; a YouTube video has one spelling."""
    if platform == "youtube":
        video = _youtube_id(host, path, query)
        if video:
            return f"https://www.youtube.com/watch?v={video}"
    kept = parse_qsl(query, keep_blank_values=True)
    if platform != "direct":
        kept = [(k, v) for k, v in kept if not _TRACKING.fullmatch(k.lower())]
        host = host.removeprefix("www.").removeprefix("m.")
        path = path.rstrip("/")
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[scheme]
    netloc = shown if port in (None, default) else f"{shown}:{port}"
    return urlunsplit((scheme, netloc, path or "/", urlencode(kept), ""))


def _youtube_id(host: str, path: str, query: str) -> str:
    words = [p for p in path.split("/") if p]
    if host == "youtu.be" and words:
        found = words[0]
    elif words[:1] in (["shorts"], ["embed"], ["live"], ["v"]) and len(words) > 1:
        found = words[1]
    else:
        found = dict(parse_qsl(query)).get("v", "")
    return found if _YOUTUBE_ID.fullmatch(found) else ""


def _key(url: str, host: str, platform: str) -> str:
    if platform == "youtube" and "watch?v=" in url:
        return f"youtube:{url.rsplit('=', 1)[1]}"
    if platform == "soundcloud":
        return f"soundcloud:{urlsplit(url).path.strip('/').lower()}"
    return f"url:{url}"


def track_id(key: str) -> str:
    """20 hex digits that stand for a strong identity in files, names and the index."""
    return hashlib.sha256(f"handoffd:{key}".encode()).hexdigest()[:20]


def shown(url: str, limit: int = 200) -> str:
    """A URL for messages and tags: no query (it may hold a token), bounded."""
    parts = urlsplit(url)
    keep = parts.query if platform_of((parts.hostname or "").lower()) == "youtube" else ""
    return urlunsplit((parts.scheme, parts.netloc, parts.path, keep, ""))[:limit]
