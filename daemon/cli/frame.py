"""What every command has in common: --home, --config, --debug, and how it gets its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from daemon.settings import Loaded


@dataclass(slots=True)
class Invocation:
    """One call of the program. The common options may stand before or after the command's name."""

    home: Path | None = None
    config: Path | None = None
    debug: bool = False

    def load(self, flags: Mapping[str, Any] | None = None, *, handlers: bool = False) -> Loaded:
        """The settings. ``handlers``: check the handlers' sections too, which imports them.

        Mistakes are told all at once: where the core's own sections have some, the handlers' are read too.
        """
        from daemon.core.errors import ConfigError

        try:
            return self._load(flags, handlers=handlers)
        except ConfigError:
            if not handlers:
                self._load(flags, handlers=True)
            raise

    def _load(self, flags: Mapping[str, Any] | None, *, handlers: bool) -> Loaded:
        from daemon.settings import load

        sections: Mapping[str, Any] | None = None
        incomplete = False
        if handlers:
            from daemon.engine.registry import Registry

            registry = Registry()
            sections = registry.sections()
            incomplete = any(r.state == "load_error" for r in registry.records)
        return load(
            home=self.home, config=self.config, flags=flags, sections=sections, keep_unknown=incomplete
        )


def log_to_stderr(loaded: Loaded, *, level: str = "warning") -> None:
    """Logs of a short command: on stderr, so that stdout stays data."""
    import sys

    from daemon.observability import logging

    logging.configure(level=level, format="console", stream=sys.stderr, redactor=loaded.redactor())


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, _option: click.Parameter, value: Any) -> Any:
        if value is not None and value is not False and isinstance(ctx.obj, Invocation):
            setattr(ctx.obj, name, value)
        return value

    return callback


def common_options() -> list[click.Parameter]:
    """Fresh ones for one command."""
    return [
        click.Option(
            ["--home"],
            type=click.Path(file_okay=False, path_type=Path),
            callback=_remember("home"),
            expose_value=False,
            help="Folder that everything is kept below (or HANDOFFD_HOME).",
        ),
        click.Option(
            ["--config"],
            type=click.Path(dir_okay=False, path_type=Path),
            callback=_remember("config"),
            expose_value=False,
            help="Settings file (or HANDOFFD_CONFIG).",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            callback=_remember("debug"),
            expose_value=False,
            help="Show the traceback of an error.",
        ),
    ]


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += common_options()


class Group(click.Group):
    """A group of commands; its commands are ours as well. It takes the common options too."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += common_options()


json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."
)
