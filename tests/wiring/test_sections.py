"""The addresses of Spotify and Eagle reach the handler that has fields for them."""

import os
from pathlib import Path

from daemon.settings.load import load
from daemon.wiring import section_of, with_handlers


def music(home: Path, **env: str):
    loaded, registry = with_handlers(load(home=home, env={"PATH": os.environ["PATH"], **env}))
    return section_of(loaded, registry.get("music-sync").handler)


def test_stand_ins_are_passed_on_and_a_default_switches_nothing_on(tmp_path: Path) -> None:
    plain = music(tmp_path)
    assert (plain.spotify_base_url, plain.eagle_base_url) == ("", "")
    given = music(
        tmp_path,
        HANDOFFD_SPOTIFY__BASE_URL="http://127.0.0.1:5001",
        HANDOFFD_EAGLE__BASE_URL="http://127.0.0.1:5002",
    )
    assert (given.spotify_base_url, given.eagle_base_url) == (
        "http://127.0.0.1:5001",
        "http://127.0.0.1:5002",
    )
    own = music(
        tmp_path,
        HANDOFFD_SPOTIFY__BASE_URL="http://127.0.0.1:5001",
        HANDOFFD_MUSIC__SPOTIFY_BASE_URL="http://127.0.0.1:5003",
    )
    assert own.spotify_base_url == "http://127.0.0.1:5003"
