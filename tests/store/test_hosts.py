"""The connection that holds a host's lock, on a real PostgreSQL."""

from daemon.store import open_engine
from daemon.store.hosts import Hosts


def test_the_server_notices_soon_that_the_holder_of_a_lock_is_gone(postgres: str) -> None:
    engine = open_engine(postgres)
    hosts = Hosts(engine)
    assert hosts.lock("a boot")
    assert hosts._lock is not None
    seconds = 0
    for name in ("idle", "interval", "count"):
        seconds += int(hosts._lock.exec_driver_sql(f"SHOW tcp_keepalives_{name}").scalar_one())
    assert seconds == 10 + 5 + 3
    other = Hosts(engine)
    assert not other.lock("a boot"), "one holds it"
    hosts.unlock()
    other.unlock()
    assert other.lock("a boot")
    other.unlock()
    engine.dispose()
