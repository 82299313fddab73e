"""``handoffd service``: under systemd or launchd, whichever this machine has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.frame import Group, Invocation, json_option
from daemon.cli.output import emit_json, talk
from daemon.core.errors import BlockedError, ExitCode, Unreachable

if TYPE_CHECKING:
    from daemon.cli.managers import Manager
    from daemon.cli.units import Plan
    from daemon.settings import Loaded

SYSTEM_CONFIG = Path("/etc/handoffd/handoffd.toml")
SYSUSERS = Path("/etc/sysusers.d/handoffd.conf")


@click.group(cls=Group)
def command() -> None:
    """Install, remove or look at the system service."""


def _scope(function: Callable[..., Any]) -> Callable[..., Any]:
    both = click.option(
        "--system/--user",
        "system",
        default=None,
        help="For the machine, or for you. Root: --system.",
    )
    return both(function)


def _is_system(asked: bool | None) -> bool:
    import os

    return os.geteuid() == 0 if asked is None else asked


@command.command()
@_scope
@click.option("--dry-run", is_flag=True, help="Print the file and the commands; change nothing.")
@click.option("--yes", is_flag=True, help="Replace a service file that differs.")
@click.option(
    "--write-to", multiple=True, type=click.Path(path_type=Path), help="A folder that it may write."
)
@click.pass_obj
def install(
    call: Invocation, system: bool | None, dry_run: bool, yes: bool, write_to: tuple[Path, ...]
) -> None:
    """Write the service file, and start the service where its manager runs. Again: changes nothing."""
    from daemon.cli.managers import check, manager_for

    system = _is_system(system)
    manager = manager_for(system=system)
    loaded = call.load()
    plan = _plan(call, loaded, system=system, write_to=write_to)
    content = manager.render(plan)
    if dry_run:
        talk(f"would write {manager.file}:")
        click.echo(content.decode(), nl=False)
        for argv in manager.start_commands():
            talk("would run: " + " ".join(argv))
        return
    check(manager, content)
    _readable(plan)
    _prepare(plan, system=system, launchd=manager.name == "launchd")
    changed = _write(manager.file, content, yes=yes)
    talk(f"{'written' if changed else 'unchanged'}: {manager.file}")
    _hints(loaded, plan)
    _start(manager, changed=changed)


def _plan(call: Invocation, loaded: Loaded, *, system: bool, write_to: tuple[Path, ...]) -> Plan:
    import os

    from daemon.cli.units import Plan
    from daemon.settings.secrets import NAMES

    asked_home = call.home is not None or bool(os.environ.get("HANDOFFD_HOME"))
    asked_config = call.config is not None or bool(os.environ.get("HANDOFFD_CONFIG"))
    there = loaded.paths.config.exists()
    config: Path | None = loaded.paths.config
    if system and not asked_config:
        config = loaded.paths.config if asked_home and there else SYSTEM_CONFIG
    folder = (config or SYSTEM_CONFIG).parent / "credentials"
    home = loaded.home if asked_home or not system else None
    writable = [*_folders_outside(loaded), *(p.expanduser().absolute() for p in write_to)]
    if system and home is not None:
        writable.insert(0, home)
    return Plan(
        argv=_program(),
        path=_search_path(),
        system=system,
        home=home,
        config=config,
        writable=tuple(dict.fromkeys(writable)),
        credentials=tuple((n, folder / n) for n in NAMES if (folder / n).is_file()),
        logs=loaded.paths.logs if asked_home or loaded.settings.paths.logs else _usual_logs(system),
    )


def _usual_logs(system: bool) -> Path:
    """Where a Mac keeps logs, and its Console and newsyslog look for them."""
    return (Path("/") if system else Path.home()) / "Library" / "Logs" / "handoffd"


def _program() -> tuple[str, ...]:
    import sys

    script = Path(sys.executable).with_name("handoffd")
    return (str(script),) if script.is_file() else (sys.executable, "-m", "daemon")


def _search_path() -> str:
    """PATH of the service: ours, and where the tools are that it calls now."""
    import shutil
    import sys

    tools = ("ffmpeg", "deno", "node", "bun")
    found = [Path(where).parent for tool in tools if (where := shutil.which(tool))]
    folders = [Path(sys.executable).parent, *found, *map(Path, ("/usr/local/bin", "/usr/bin", "/bin"))]
    return ":".join(dict.fromkeys(map(str, folders)))


def _folders_outside(loaded: Loaded) -> list[Path]:
    """Folders of the settings that lie outside of the home folder and are written."""
    paths = loaded.paths
    named = [paths.board_db.parent, paths.reports, paths.docs, paths.work]
    music = loaded.sections.get("music")
    agents = loaded.sections.get("agents")
    texts = [music.get(k) for k in ("output", "backup")] if isinstance(music, dict) else []
    for agent in agents.values() if isinstance(agents, dict) else ():
        texts += (
            [agent.get("inbox"), *(agent.get("workspaces") or {}).values()] if isinstance(agent, dict) else []
        )
    named += [loaded.home / Path(t).expanduser() for t in texts if isinstance(t, str) and t]
    return [p for p in dict.fromkeys(named) if not p.is_relative_to(loaded.home)]


def _readable(plan: Plan) -> None:
    """A program in a folder that only its owner enters can't be started by another user."""
    if not plan.system:
        return
    for folder in Path(plan.argv[0]).parents:
        hidden = str(folder) in ("/home", "/root", "/run/user")  # ProtectHome=tmpfs
        if hidden or (folder.exists() and not folder.stat().st_mode & 0o001):
            raise BlockedError(
                f"the service can't enter {folder}, where handoffd is installed",
                hint="install it in a place for all (python3 -m venv /opt/handoffd), or use --user",
            )


def _prepare(plan: Plan, *, system: bool, launchd: bool) -> None:
    """What the service needs to find at its first start: its user, its folders, its settings file."""
    import shutil

    from daemon import resources
    from daemon.cli.init import write_settings
    from daemon.cli.managers import act

    if system and shutil.which("systemd-sysusers"):
        user = (resources.systemd() / "handoffd-sysusers.conf").read_bytes()
        _write(SYSUSERS, user, yes=True)
        act([["systemd-sysusers", str(SYSUSERS)]])
    if plan.home is not None:
        plan.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if launchd:  # it makes the log files, not their folder
        plan.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    if plan.config is not None and not plan.config.exists():
        write_settings(plan.config, mode=0o644 if system else 0o600)
        talk(f"written: {plan.config}")


def _write(file: Path, content: bytes, *, yes: bool) -> bool:
    """True = written, False = it was there with these very bytes. A file that differs is shown first."""
    import os
    import sys
    import tempfile

    from daemon.cli.init import CantCreate

    try:
        before = file.read_bytes()
    except FileNotFoundError:
        before = None
    if before == content:
        return False
    if before is not None and not yes:
        _show_difference(file, before, content)
        if not sys.stdin.isatty() or not click.confirm(f"Replace {file}?", err=True):
            raise BlockedError(
                f"{file} is there and differs", hint="look at the difference above, then add --yes"
            )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".handoffd-", dir=file.parent)
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).rename(file)
    except OSError as error:
        raise CantCreate(
            f"{file} can't be written: {error.strerror}", hint="run it with sudo, or use --user"
        ) from error
    return True


def _show_difference(file: Path, before: bytes, after: bytes) -> None:
    import difflib

    old, new = (text.decode("utf-8", "replace").splitlines() for text in (before, after))
    for line in difflib.unified_diff(old, new, str(file), "what would be written", lineterm="", n=1):
        talk(line)


def _hints(loaded: Loaded, plan: Plan) -> None:
    """What this shell has and the service will not have."""
    given = {name for name, _ in plan.credentials}
    folder = (plan.config or SYSTEM_CONFIG).parent / "credentials"
    for name in loaded.secrets:
        origin = loaded.secrets.origin(name)
        if name not in given and origin != "keyring":
            talk(
                f"note: the service does not see {origin} of this shell; put the secret into "
                f"{folder / name} (mode 0600) and install again"
            )
    variables = sorted({o for o in loaded.origins.values() if o.startswith("HANDOFFD_")})
    if variables:
        talk(f"note: set in this shell only, not for the service: {', '.join(variables)}")


def _start(manager: Manager, *, changed: bool) -> None:
    from daemon.cli.managers import act

    if not manager.running():
        talk(f"{manager.name} does not run here, so the service was not started; where it does:")
        for argv in manager.start_commands():
            talk("  " + " ".join(argv))
        return
    if not changed and manager.state()["state"] == "running":
        talk("running already")
        return
    act(manager.stop_commands() if manager.name == "launchd" else [])
    act(manager.start_commands())
    talk(f"the service is {manager.state()['state']}")


@command.command()
@_scope
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.pass_obj
def uninstall(_call: Invocation, system: bool | None, dry_run: bool) -> None:
    """Stop the service and remove its file. Settings, store, reports and music stay."""
    from daemon.cli.init import CantCreate
    from daemon.cli.managers import act, manager_for

    manager = manager_for(system=_is_system(system))
    if not manager.file.exists():
        talk(f"nothing to remove: {manager.file} is not there")
        return
    if dry_run:
        for argv in manager.stop_commands():
            talk("would run: " + " ".join(argv))
        talk(f"would remove {manager.file}")
        return
    live = manager.running()
    act(manager.stop_commands() if live else [])
    try:
        manager.file.unlink()
    except OSError as error:
        raise CantCreate(
            f"{manager.file} can't be removed: {error.strerror}", hint="run it with sudo"
        ) from error
    act(manager.after_removal() if live else [])
    talk(f"removed: {manager.file}")


@command.command()
@_scope
@json_option
@click.pass_obj
def status(call: Invocation, system: bool | None, as_json: bool) -> int:
    """What the service manager says. Exit 0 only if the service runs."""
    from daemon.cli.managers import manager_for

    system = _is_system(system)
    manager = manager_for(system=system)
    installed = manager.file.exists()
    live = manager.running()
    shown: dict[str, Any] = {
        "manager": manager.name,
        "scope": "system" if system else "user",
        "file": str(manager.file),
        "installed": installed,
        "manager_runs": live,
        "current": installed and _is_current(call, manager, system=system),
        **(manager.state() if live and installed else {"state": "unknown" if installed else "not installed"}),
    }
    if as_json:
        emit_json(shown)
    else:
        for key, value in shown.items():
            if value != "":
                click.echo(f"{key.replace('_', ' ')}: {_word(value)}")
    return ExitCode.OK if shown["state"] == "running" else ExitCode.FAILED


def _is_current(call: Invocation, manager: Manager, *, system: bool) -> bool:
    """Whether ``install`` would write the very file that is there."""
    try:
        wanted = manager.render(_plan(call, call.load(), system=system, write_to=()))
        return manager.file.read_bytes() == wanted
    except OSError as error:
        raise Unreachable(f"{manager.file} can't be read: {error.strerror}") from error


def _word(value: object) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
