"""docs/settings.md and the file of ``init`` say what the types say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from daemon.engine.registry import Registry
from daemon.settings import Settings, load
from daemon.settings.model import PROPERTY_KEYS
from daemon.settings.reference import markdown, toml_file
from daemon.settings.shape import fields_of

BUILT_IN = {name: kind for name, kind in Registry().sections().items() if not name.startswith("handlers.")}
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    expected = markdown(dict(sorted(BUILT_IN.items())))
    assert PAGE.read_text(encoding="utf-8") == expected, (
        "renew it: handoffd config reference > docs/settings.md"
    )


def test_every_key_has_a_reason() -> None:
    without = [
        f"{section.name}.{f.name}"
        for section in fields_of(Settings)
        for f in fields_of(section.type)
        if not f.description
    ]
    assert without == []


def test_the_file_of_init_loads_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "handoffd.toml").write_text(toml_file(BUILT_IN), encoding="utf-8")
    assert load(home=tmp_path, env={}, sections=BUILT_IN).settings == Settings()


def test_the_file_of_init_with_every_key_switched_on_shows_the_defaults(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^#(?=[a-z\[])", "", toml_file({}))
    (tmp_path / "handoffd.toml").write_text(text, encoding="utf-8")
    loaded = load(home=tmp_path, env={}, sections={})
    plain = load(home=tmp_path / "none", env={}).settings
    for section in fields_of(Settings):
        if section.name not in ("routes", "schedules"):
            assert getattr(loaded.settings, section.name) == getattr(plain, section.name)
    assert loaded.settings.schedules["example"].task.title == "…"
    assert loaded.origin("poll.interval").startswith(str(tmp_path / "handoffd.toml:"))


def test_the_schema_keys_are_those_of_the_board() -> None:
    columns = pytest.importorskip("daemon.board.columns")
    assert set(PROPERTY_KEYS) == set(columns.SPECS)
