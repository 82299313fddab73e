"""The Jinja environments. Text from pages is only ever a *value* in them, never a template (threat T16).

Two environments, because two languages need two ways of escaping, and both escape by default: what a
template prints without a filter is made safe for its own language. Jinja's usual choice by file name would
switch escaping off for ``report.html.j2`` (measured), so it is not asked.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined, TemplateError
from jinja2.exceptions import SecurityError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from daemon.core.errors import ConfigError
from daemon.core.text import shorten
from daemon.reports import amounts, safe_text
from daemon.reports.figures import ALL as FIGURES
from daemon.reports.outline import outline
from daemon.reports.wording import filled, finding_state, run_state

REPEAT_LIMIT = 1_000_000
"""Longest text or list that ``*`` may make in a template, and largest exponent × digits of ``**``."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, with bounds on the two operators that can eat all memory (threat T17)."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and not (abs(left) <= 10_000 and abs(right) <= 64):
            raise SecurityError("a power this large is not allowed in a template")
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                repeats = isinstance(text, str | list | tuple) and isinstance(times, int)
                if repeats and len(text) * times > REPEAT_LIMIT:
                    raise SecurityError("a repetition this long is not allowed in a template")
        return super().call_binop(context, operator, left, right)


class Templates:
    """Ours and the user's templates below one folder of the template tree (``reports``, ``status_docs``).

    ``user``: a folder whose files win over ours by the same relative name; None = none. A template of the
    user reaches the one that it replaces as ``builtin/<name>``.
    """

    def __init__(self, ours: Path, user: Path | None = None) -> None:
        builtin = FileSystemLoader(ours)
        loaders: list[BaseLoader] = [FileSystemLoader(user)] if user is not None else []
        loader = ChoiceLoader([*loaders, builtin, PrefixLoader({"builtin": builtin})])
        self._html = _environment(loader, _html_value)
        self._markdown = _environment(loader, safe_text.inline)

    def has(self, name: str) -> bool:
        """True when there is a template of that name, the user's or ours."""
        try:
            self._for(name).get_template(name)
        except TemplateNotFound:
            return False
        except TemplateError as error:
            raise _broken(name, error) from error
        return True

    def render(self, name: str, **values: Any) -> bytes:
        """``name`` rendered as UTF-8 with one newline at the end.

        ConfigError when the template is missing, does not parse, uses an unknown variable or a forbidden
        attribute, or raises: it names the template, the line and what was wrong.
        """
        try:
            text = self._for(name).get_template(name).render(**values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise _broken(name, error) from error
        if self._for(name) is self._markdown:
            text = re.sub(r"\n{3,}", "\n\n", text).replace(safe_text.KEPT_NEWLINE, "\n")
        return (text.strip() + "\n").encode("utf-8")

    def _for(self, name: str) -> _Sandbox:
        return self._html if name.endswith((".html.j2", ".html")) else self._markdown


@lru_cache(maxsize=16)
def templates_in(ours: Path, user: Path | None = None) -> Templates:
    """The ``Templates`` of these folders, one for each in a process: compiling them is what costs.

    A file that changes is noticed and compiled again.
    """
    return Templates(ours, user)


def _environment(loader: BaseLoader, finalize: Callable[[Any], Any]) -> _Sandbox:
    made = _Sandbox(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    # There is no way around the escaping: a template of the user's that asks for one does not parse.
    for name in ("safe", "forceescape", "urlize", "xmlattr"):
        del made.filters[name]
    made.filters.update(
        md=safe_text.inline,
        code=safe_text.code,
        cell_code=safe_text.cell_code,
        fence=safe_text.fence,
        web_url=safe_text.web_url,
        size=amounts.size,
        duration=amounts.duration,
        utc=amounts.when,
        day=amounts.day,
        iso=amounts.iso,
        short_hash=amounts.short_hash,
        plural=amounts.plural,
        one_line=_one_line,
        csp_hash=_csp_hash,
    )
    made.globals.update(
        link=safe_text.link,
        report_link=safe_text.report_link,
        figures=FIGURES,
        outline=outline,
        run_state=run_state,
        finding_state=finding_state,
        filled=filled,
    )
    return made


def _html_value(value: Any) -> Any:
    """Text for HTML: bounded, invisible characters shown. Autoescape then does the rest."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return safe_text.shown(value)
    return value


def _one_line(value: object, units: int = 200) -> str:
    return shorten(" ".join(str(value).split()), units)


def _csp_hash(script: str) -> str:
    """The source expression that lets exactly this inline script run under a Content-Security-Policy."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _broken(name: str, error: Exception) -> ConfigError:
    line = getattr(error, "lineno", None) or _line_of(error, name)
    where = f"{name}:{line}" if line else name
    return ConfigError(
        f"template {where} can't be rendered: {type(error).__name__}: {error}",
        hint="mend the template, or remove it to get the built-in one; `handoffd doctor` renders them all",
    )


def _line_of(error: BaseException, name: str) -> int | None:
    """The line of the template that raised: Jinja rewrites tracebacks to template lines."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(name):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
