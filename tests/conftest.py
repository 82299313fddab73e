"""For every test: logging as it was before (a command run inside a test sets it up on a stream that pytest
closes afterwards), and a real PostgreSQL of the tests' own for those that ask for one."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.postgres import NoPostgres, server

# The suite says the same on every machine and at every load: drawn examples come from the test itself, and
# slowness alone is no failure. HANDOFFD_EXPLORE=1 draws new ones.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=not os.environ.get("HANDOFFD_EXPLORE"),
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """The suite, and every daemon that it starts, uses the ffmpeg of the lock file, so that it says the same
    on every machine; what the system has is looked at by tests/music/test_music_ffmpegs.py."""
    cache = getattr(config, "cache", None)
    if cache is None:
        return
    exe, own = Path(imageio_ffmpeg.get_ffmpeg_exe()), Path(cache.mkdir("ffmpeg")) / "ffmpeg"
    if own.resolve() != exe.resolve():
        own.unlink(missing_ok=True)
        with suppress(FileExistsError):  # another process of the same run made it
            own.symlink_to(exe)
    os.environ.setdefault("HANDOFFD_TEST_PATH", os.environ["PATH"])
    os.environ["PATH"] = f"{own.parent}{os.pathsep}{os.environ['HANDOFFD_TEST_PATH']}"


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    loggers = [
        logging.getLogger(),
        *(v for v in logging.root.manager.loggerDict.values() if isinstance(v, logging.Logger)),
    ]
    before = {one: (list(one.handlers), one.level, one.propagate) for one in loggers}
    configured = structlog.get_config() if structlog.is_configured() else None
    yield
    for one in [logging.getLogger(), *logging.root.manager.loggerDict.values()]:
        if isinstance(one, logging.Logger):
            one.handlers[:], level, one.propagate = before.get(one, ([], logging.NOTSET, True))
            one.setLevel(level)
    structlog.reset_defaults()
    if configured is not None:
        structlog.configure(**configured)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy URL of an empty server on loopback (tests/postgres.py); skipped where there is none to
    start, except that HANDOFFD_REQUIRE_POSTGRES=1 makes that a failure."""
    try:
        with server() as own:
            yield own.url
    except NoPostgres as none:
        if os.environ.get("HANDOFFD_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"PostgreSQL is required here: {none}")
        pytest.skip(str(none))
