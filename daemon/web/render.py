"""Jinja for the pages: escaping always on, unknown names are errors, text of others made visible."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from daemon.core.errors import ConfigError
from daemon.core.text import one_line, shorten, visible
from daemon.web import ages, marks

LONG = 20_000
"""UTF-16 units of a text that is shown whole; the board has the rest."""

_STRETCH = re.compile(r"@([0-9a-f]{8})$")
_MARK = re.compile(r"-[A-Za-z]+-[0-9a-f]{12}$|-[0-9a-f]{12}$")

STATIC = {
    "app.css": "text/css",
    "app.js": "text/javascript",
    "live.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
"""The only files that are served from the templates' static folder (T78: by table, never by path)."""


class Pages:
    """Renders templates by name and holds the static files, both read from ``folder`` once a process."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        if not (folder / "base.html.j2").is_file():
            raise ConfigError(f"no web templates in {folder}", hint="install handoffd again")
        self._clock = clock
        self._env = _environment(folder)
        self.static, self.versions = _static(folder)

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """The page ``name`` with ``values``; ``now`` is the clock's."""
        return self._env.get_template(f"{name}.html.j2").render({"now": self._clock(), **values})


@cache
def _static(folder: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    files = {name: (folder / "static" / name).read_bytes() for name in STATIC}
    return files, {name: hashlib.sha256(body).hexdigest()[:12] for name, body in files.items()}


@cache
def _environment(folder: Path) -> Environment:
    # Not select_autoescape: it says no to ".html.j2" (research/reliability.md finding 8).
    env = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "say": one_line,
        "long": lambda text: shorten(visible(text), LONG),
        "span": ages.span,
        "size": ages.size,
        "iso": ages.iso,
        "absolute": ages.absolute,
        "web": web_url,
        "pretty": pretty,
        "code": commands,
        "step": step_name,
        "stretch": stretch,
        "datum": datum,
        "ago": _ago,
    }
    versions = _static(folder)[1]
    env.globals |= {
        "status_mark": marks.of_status,
        "run_mark": marks.of_run,
        "gate_mark": marks.GATE.__getitem__,
        "step_mark": marks.of_step,
        "handler_mark": marks.of_handler,
        "slot_mark": marks.of_slot,
        "host_mark": marks.of_host,
        "check_mark": marks.of_check,
        "static": lambda name: f"/static/{name}?v={versions[name]}",
    }
    return env


def _seen(value: Any) -> Any:
    """What a template prints, with characters that hide or turn text made visible wherever it forgot to."""
    return visible(value) if type(value) is str else value


@pass_context
def _ago(context: Context, then: float | None) -> str | Markup:
    if then is None:
        return "–"
    text = ages.relative(then, context["now"])
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        ages.iso(then), ages.absolute(then), text
    )


def step_name(name: str) -> str:
    """A step's name for people: without the mark of its stretch (``@…``) and of what it was about."""
    return _MARK.sub("", _STRETCH.sub("", one_line(name)))


def stretch(name: str) -> str:
    """The mark of the stretch that a step belongs to, "" = before the first wait."""
    found = _STRETCH.search(name)
    return found[1] if found else ""


def datum(value: Any) -> str:
    """One value of an event: a number of seconds needs no fifteen digits."""
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def commands(text: str) -> Markup:
    """One line of text with what stands between backticks as code."""
    parts = one_line(text, 600).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def web_url(text: str) -> str:
    """``text`` when it is a plain http(s) address that may become a link, else ""."""
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname or len(text) > 2048:
        return ""
    return text.strip() if text.isprintable() and "\\" not in text else ""


def pretty(data: Any) -> str:
    """JSON for reading, bounded."""
    return shorten(visible(json.dumps(data, indent=1, ensure_ascii=False, default=str)), LONG)
