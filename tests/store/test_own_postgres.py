"""The PostgreSQL that tests bring along when the machine has none."""

import sqlalchemy as sa

from tests import postgres


def test_the_wheels_server_starts_and_answers() -> None:
    place = postgres.of_wheel()
    assert place is not None, "`make dev` installs it on Linux and macOS"
    with postgres.server(place) as server:
        engine = sa.create_engine(server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            version = connection.exec_driver_sql("SHOW server_version_num").scalar()
            home = connection.exec_driver_sql("SHOW data_directory").scalar()
    assert int(str(version)) >= 140_000
    assert str(home).startswith("/tmp/hd-pg-")
