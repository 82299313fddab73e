"""``handoffd config``: settings in force, and where each came from."""

from __future__ import annotations

from typing import Any

import click

from daemon.cli.frame import Group, Invocation, json_option
from daemon.cli.output import emit_json, emit_table


@click.group(cls=Group)
def command() -> None:
    """Settings in force and where each came from."""


@command.command()
@json_option
@click.pass_obj
def show(call: Invocation, as_json: bool) -> None:
    """Every setting with its value and origin: file:line, variable or default. Secrets are masked."""
    from daemon.settings.secrets import MASK, NAMES

    loaded = call.load(handlers=True)
    hide = loaded.redactor()
    settings = [(key, hide.value(value), origin) for key, value, origin in loaded.entries()]
    secrets = [
        (name, MASK if name in loaded.secrets else None, loaded.secrets.origin(name) or "not set")
        for name in NAMES
    ]
    if as_json:
        emit_json(
            {
                "home": str(loaded.home),
                "config": str(loaded.paths.config),
                "local": loaded.local,
                "settings": [{"key": k, "value": v, "origin": o} for k, v, o in settings],
                "secrets": [{"name": n, "set": v is not None, "origin": o} for n, v, o in secrets],
                "unset": dict(loaded.unset),
            }
        )
        return
    rows: list[tuple[Any, ...]] = [("home", loaded.home, ""), ("config", loaded.paths.config, _there(loaded))]
    rows += [(key, _shown(value), origin) for key, value, origin in settings]
    rows += [(f"secret {name}", value or "–", origin) for name, value, origin in secrets]
    emit_table(("KEY", "VALUE", "FROM"), rows, empty="")


def _there(loaded: Any) -> str:
    return "" if loaded.paths.config.exists() else "not there: defaults"


def _shown(value: Any) -> str:
    import json

    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


@command.command()
@click.option("--toml", is_flag=True, help="As a commented settings file instead of Markdown.")
@click.pass_obj
def reference(_call: Invocation, toml: bool) -> None:
    """Every setting with type, default and reason: docs/settings.md is this text."""
    from daemon.engine.registry import Registry
    from daemon.settings.reference import markdown, toml_file

    sections = {
        name: kind for name, kind in sorted(Registry().sections().items()) if not name.startswith("handlers.")
    }
    click.echo(toml_file(sections) if toml else markdown(sections), nl=False)
