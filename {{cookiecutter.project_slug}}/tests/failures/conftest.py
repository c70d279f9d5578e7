"""Fixtures: the running service, its database, and a Sentry server."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from databases import SERVER_URL, fresh_database

from .postgres import Postgres, find_programs
from .servers import Kent
from .service import WORKERS, Service, flask
from .table import ROWS, Table, notes

Serve = Callable[..., Service]


def need(thing: object, advice: str) -> None:
    """Skip the test where something is missing, and say what. In CI fail it: nobody reads there what was skipped."""
    if not thing:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(advice)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--failures-table", type=Path, metavar="FILE", help="what the failures looked like, in Markdown")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("failures_table")
    if file and not hasattr(config, "workerinput"):  # which a worker of pytest-xdist has
        config.pluginmanager.register(Table(file))


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """What this test saw by its end, when its own services have stopped, belongs to its row of the table."""
    marker = request.node.get_closest_marker("failure")
    assert not marker or marker.args[0] in ROWS
    notes.clear()
    yield
    if marker:
        record_property("failure", (*marker.args, sorted(notes)))


@pytest.fixture
def serve(migrated: Path, kent: Kent, tmp_path: Path) -> Iterator[Serve]:
    """``serve(LOG_LEVEL="DEBUG")`` starts the service with these settings; the test's end stops it.

    ``serve(VIEWS)``: with lines of Python, see :class:`Service`. It has a migrated SQLite database of its own, unless
    ``DATABASE_URL`` names one.
    """
    with ExitStack() as services:
        yield partial(_serve, services, migrated, kent, tmp_path)


@pytest.fixture(scope="module")
def serve_all(migrated: Path, kent: Kent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Like ``serve``, for a service that the tests of a module share."""
    with ExitStack() as services:
        yield partial(_serve, services, migrated, kent, tmp_path_factory.mktemp("services"))


def _serve(
    services: ExitStack, migrated: Path, kent: Kent, parent: Path, extra: str = "", /, **settings: Any
) -> Service:
    folder = parent / secrets.token_hex(4)
    (folder / "instance").mkdir(parents=True)
    shutil.copy(migrated, folder / "instance/service.db")
    options = {name: settings.pop(name) for name in list(settings) if name.islower()}
    service = Service(folder, kent, extra, settings, **options)
    services.callback(service.note)  # once it has stopped
    services.callback(service.stop)
    return service


@pytest.fixture(scope="session")
def kent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kent]:
    """The Sentry server. What it got from a service: ``service.events()``."""
    kent = Kent(tmp_path_factory.mktemp("kent"))
    yield kent
    kent.stop()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database to copy."""
    folder = tmp_path_factory.mktemp("migrated")
    return _migrate(f"sqlite:///{folder}/service.db", folder) / "service.db"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated database for the tests of a module: ``serve(DATABASE_URL=database)``.

    Of each kind in turn. PostgreSQL is the server that TEST_DATABASE_URL names.
    """
    folder = tmp_path_factory.mktemp("database")
    server_url = SERVER_URL if request.param == "postgresql" else ""
    if request.param == "postgresql":
        need(server_url, "PostgreSQL is missing: set TEST_DATABASE_URL to a database of it, see README.md")
    with fresh_database(folder, server_url) as url:
        _migrate(url, folder)
        yield url


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server to stop and to break, which the tests of a module share."""
    programs = find_programs()
    need(programs, "PostgreSQL's programs are missing: apt-get install postgresql, or have its initdb on the PATH")
    with TemporaryDirectory(prefix="postgres-", dir="/tmp") as folder:  # pytest's folders are closed to nobody
        server = Postgres(programs[0], Path(folder))
        yield server
        server.stop()


@pytest.fixture
def own_database(postgres: Postgres, tmp_path: Path) -> str:
    """The URL of a migrated database on it."""
    name = f"test_{secrets.token_hex(8)}"
    postgres.sql(f"CREATE DATABASE {name}")
    url = f"{postgres.url.removesuffix('/postgres')}/{name}"
    _migrate(url, tmp_path)
    return url


def _migrate(url: str, folder: Path) -> Path:
    (folder / "migrations").symlink_to(Path(__file__).parents[2] / "migrations")
    environment = {"PATH": os.environ["PATH"], "SECRET_KEY": "test", "DATABASE_URL": url}
    flask("db", "upgrade", folder=folder, environment=environment)
    return folder


@pytest.fixture(scope="module", params=WORKERS)
def worker(request: pytest.FixtureRequest) -> dict[str, str]:
    """Each class of workers in turn: ``serve(VIEWS, **worker)``."""
    return {"GUNICORN_CMD_ARGS": WORKERS[request.param]}
