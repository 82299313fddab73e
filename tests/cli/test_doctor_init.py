"""``doctor`` finds what is broken and says the fix; ``init`` changes nothing that is there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from daemon.cli import checks
from daemon.core.errors import ExitCode
from daemon.settings import load

Cli = Callable[..., Any]


def named(done: Any) -> dict[str, dict[str, Any]]:
    import json

    return {c["name"]: c for c in json.loads(done.out)["checks"]}


def test_init_writes_once_and_what_it_wrote_is_valid(cli: Cli, home: Path) -> None:
    first = cli("init")
    assert first.code == 0
    assert (home / "handoffd.toml").stat().st_mode & 0o777 == 0o600
    (home / "handoffd.toml").write_text("[poll]\ninterval = 7\n")
    again = cli("init")
    assert again.code == 0
    assert "kept" in again.err
    assert (home / "handoffd.toml").read_text() == "[poll]\ninterval = 7\n"
    assert list(home.glob(".handoffd-*")) == []


def test_init_in_a_place_that_can_not_be_written_is_73(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = cli("init", "--config", str(tmp_path / "file" / "handoffd.toml"))
    assert done.code in (ExitCode.CANTCREAT, ExitCode.CONFIG)
    assert "hint:" in done.err


def test_init_with_a_token_but_no_database_says_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTION_TOKEN", "ntn_" + "x" * 40)
    done = cli("init")
    assert done.code == ExitCode.CONFIG
    assert "--create --page" in done.err


def test_a_good_home_has_its_parts_named(cli: Cli) -> None:
    found = named(cli("doctor", "--json"))
    for name in ("python", "settings", "home", "disk", "store", "board", "clock", "templates", "service"):
        assert found[name]["state"] in ("ok", "warn"), found[name]


def test_every_mistake_in_the_settings_is_a_line_and_the_exit_is_1(cli: Cli, home: Path) -> None:
    home.mkdir()
    (home / "handoffd.toml").write_text('[poll]\ninterval = "x"\n[wbe]\n')
    done = cli("doctor")
    assert done.code == ExitCode.FAILED
    assert done.out.count("✗ settings:") == 2
    assert "fix:" in done.out


def test_a_dashboard_port_that_another_program_has_is_broken(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("HANDOFFD_WEB__PORT", str(taken.getsockname()[1]))
        done = cli("doctor", "--json")
    assert done.code == ExitCode.FAILED
    assert named(done)["dashboard"]["state"] == "broken"
    assert "web.port" in named(done)["dashboard"]["fix"]


def test_a_store_url_that_is_none_is_broken_and_the_rest_is_still_checked(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFFD_STORE__URL", "mysql://x")
    found = named(cli("doctor", "--json"))
    assert found["store"]["state"] == "broken"
    assert found["templates"]["state"] == "ok"


class Late(BaseHTTPRequestHandler):
    """A board whose clock stands in the year 2000."""

    def do_HEAD(self) -> None:
        self.send_response_only(404)
        self.send_header("date", "Sat, 01 Jan 2000 00:00:00 GMT")
        self.end_headers()


@pytest.mark.parametrize(("skew", "state"), [(0.4, "ok"), (-20.0, "warn"), (600.0, "broken")])
def test_the_clock_is_compared_with_the_boards(tmp_path: Path, skew: float, state: str) -> None:
    with HTTPServer(("127.0.0.1", 0), Late) as server:
        Thread(target=server.handle_request).start()
        env = {
            "NOTION_TOKEN": "ntn_" + "x" * 40,
            "HANDOFFD_BOARD__BASE_URL": f"http://127.0.0.1:{server.server_port}",
        }
        (check,) = checks.clock(load(home=tmp_path, env=env), lambda: 946684800.0 + skew)
    assert check.state == state
    assert (check.fix == "") == (state == "ok")


def test_a_board_that_is_not_there_leaves_the_clock_unknown_not_good(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    env = {"NOTION_TOKEN": "ntn_" + "x" * 40, "HANDOFFD_BOARD__BASE_URL": f"http://127.0.0.1:{port}"}
    (check,) = checks.clock(load(home=tmp_path, env=env), lambda: 0.0)
    assert check.state == "warn"
