"""What a host asks the store about the others, and how often."""

from pathlib import Path
from typing import Any

import pytest

from daemon.fleet import Membership
from daemon.settings.load import load
from daemon.store import Store, open_engine
from daemon.store.hosts import Host
from daemon.testing import QuietLog


class NoHandlers:
    def names(self) -> list[str]:
        return ["report"]

    def offers(self, section: Any, home: Path) -> frozenset[str]:
        return frozenset()

    takeover = needs = None


def host(name: str) -> Host:
    return Host(
        executor=name,
        name=name,
        boot="b",
        version="1",
        pid=1,
        lease=20.0,
        joined=0.0,
        seen=0.0,
        gone="",
        handlers=("report",),
        offers=(),
        age=1.0,
    )


@pytest.mark.parametrize(("hosts", "asked"), [(3, 60), (1000, 3)])
def test_in_a_large_fleet_a_host_asks_rarely_who_is_there(tmp_path: Path, hosts: int, asked: int) -> None:
    now, asks = [0.0], []
    store = Store(open_engine(f"sqlite:///{tmp_path / 'state.db'}"), lambda: now[0], "s")
    loaded = load(home=tmp_path, env={})
    member = Membership(
        store=store,
        registry=NoHandlers(),  # type: ignore[arg-type]  # all that the facts ask of it
        settings=lambda: loaded,
        section=lambda name: None,
        executor="me",
        name="me",
        version="1",
        clock=lambda: now[0],
        log=QuietLog(),
        on_lost=lambda: None,
        monotonic=lambda: now[0],
    )
    member.shared = True

    def rows() -> list[Host]:
        asks.append(now[0])
        return [host(f"h{n}") for n in range(hosts - 1)] + [host("me")]

    member.hosts.all = rows  # type: ignore[method-assign]
    for _ in range(60):
        assert len(member.facts()) == hosts
        now[0] += 1.0
    assert len(asks) == asked
    store.close()
