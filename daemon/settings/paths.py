"""Where everything is: the home folder, the settings file, and the folders below (contract.md §2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.settings.model import Settings

FILE_NAME = "handoffd.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Absolute paths; none of them is made to exist by naming it."""

    home: Path
    config: Path
    state_db: Path
    board_db: Path
    agents: Path
    reports: Path
    docs: Path
    music: Path
    logs: Path
    work: Path
    lock: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The home folder and the settings file, before the file is read.

    ``named``: somebody asked for this very file, so its absence is an error.
    """

    home: Path
    config: Path
    named: bool


def find_place(home: Path | None, config: Path | None, env: Mapping[str, str]) -> Place:
    """Flag, then environment, then the platform's user folders."""
    asked = str(home) if home is not None else env.get("HANDOFFD_HOME", "")
    file = str(config) if config is not None else env.get("HANDOFFD_CONFIG", "")
    if asked:
        root = _absolute(asked)
        default = root / FILE_NAME
    else:
        import platformdirs

        root = platformdirs.user_data_path("handoffd", appauthor=False)
        default = platformdirs.user_config_path("handoffd", appauthor=False) / FILE_NAME
    return Place(home=root, config=_absolute(file) if file else default, named=bool(file))


def lay_out(place: Place, settings: Settings) -> Paths:
    """Every folder; a relative setting is meant from the home folder."""
    home = place.home

    def at(setting: str, default: str) -> Path:
        return home / Path(setting).expanduser() if setting else home / default

    return Paths(
        home=home,
        config=place.config,
        state_db=home / "state.db",
        board_db=at(settings.paths.board_db, "board.db"),
        agents=home / "agents",
        reports=at(settings.reports.folder, "reports"),
        docs=at(settings.reports.documents, "docs"),
        music=home / "music",
        logs=at(settings.paths.logs, "logs"),
        work=at(settings.paths.work, "work"),
        lock=home / "handoffd.lock",
    )


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()
