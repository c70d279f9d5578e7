"""Fixtures that bake a project, install it as a user does, and start it.

The tests have three tiers: ``make check`` runs those without a marker, ``make test`` also the ``slow`` ones, and
``make nightly`` those marked ``nightly``. The markers are set here, by file.
"""

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from servers import POSTGRES, REDIS, Kent, Postgres, Redis
from service import Service

pytest.register_assert_rewrite("stores")

TEMPLATE = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")

Bake = Callable[..., Path]
Serve = Callable[..., Service]
Develop = Callable[..., Service]

NIGHTLY = {
    "failures",
    "test_browser.py",
    "test_concurrency.py",
    "test_databases.py",
    "test_debugging.py",
    "test_disks.py",
    "test_proxies.py",
    "test_removal.py",
    "test_servers.py",
    "test_storage.py",
}
"""Files and folders whose tests ``make nightly`` runs, unless a test has the marker ``slow`` itself."""

CRASH = """
@bp.get("/crash")
def crash() -> str:
    import sys

    raise RuntimeError(f"boom, sentry_sdk imported: {'sentry_sdk' in sys.modules}")
"""


def find_python(version: str) -> str | None:
    """Return the path of a Python that uv or pyenv knows. pyenv's shims hide versions that are not active."""
    uv = [str(UV), "python", "find", "--system", "--no-python-downloads", version]
    pyenv = ["pyenv", "whence", "--path", f"python{version}"]
    for command in (uv, pyenv):
        if shutil.which(command[0]):
            search = subprocess.run(command, capture_output=True, text=True)
            if search.returncode == 0:
                return search.stdout.splitlines()[-1]
    return None


PYTHONS = {version: path for version in ("3.11", "3.12", "3.13", "3.14") if (path := find_python(version))}
"""The supported Pythons of this machine: version to path."""


def pytest_report_header() -> str:
    return f"Pythons for the generated project: {', '.join(PYTHONS)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the markers of the tiers."""
    for item in items:
        slow = item.get_closest_marker("slow")
        if not slow and NIGHTLY & {*item.path.relative_to(TEMPLATE / "tests").parts}:
            item.add_marker("nightly")
        elif not slow and "project" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """In CI a skipped test fails, because nobody reads there which tests were skipped."""
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"Skipped in CI: {report.longrepr}"
    return report


def user_environment(**changes: str) -> dict[str, str]:
    """Return the environment of a user, without the virtual environment of the tests and settings of the service."""
    kept = ("HOME", "LANG", "PATH", "UV_", "PIP_", "SSL_", "REQUESTS_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)} | changes


def bake_into(folder: Path, **answers: Any) -> Path:
    """Bake a project with these answers, otherwise with the defaults, and return its folder."""
    return Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, extra_context=answers))


def install(project: Path, *options: str) -> None:
    subprocess.run([UV, "sync", "--quiet", *options], cwd=project, env=user_environment(), check=True, timeout=300)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Wait for other processes that hold the lock of this file."""
    with file.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder that all workers of pytest-xdist share."""
    folder = factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def install_once(factory: pytest.TempPathFactory, **answers: Any) -> Path:
    """Return the installed project with these answers. The first worker that needs it bakes and installs it.

    ``migrated.db`` in it is a migrated SQLite database to copy. Do not change the project.
    """
    key = sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:8]
    folder = shared_folder(factory) / f"project-{key}"
    result = folder / "path"
    with locked(folder.with_suffix(".lock")):
        if not result.exists():
            project = bake_into(folder, **answers)
            install(project, "--extra", "redis")
            flask(project, "db", "upgrade", DATABASE_URL=f"sqlite:///{project}/migrated.db")
            result.write_text(str(project))
    return Path(result.read_text())


def flask(project: Path, *command: str, **settings: str) -> str:
    """Return the output of a command of an installed project: ``flask(project, "tokens", "create", "me")``."""
    run = [project / ".venv/bin/flask", *command]
    environment = user_environment(**{"SECRET_KEY": "test", **settings})
    done = subprocess.run(run, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"flask {' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def need(program: object, advice: str) -> None:
    """Skip the test if a program was not found. In CI it fails, see :func:`pytest_runtest_makereport`."""
    if not program:
        pytest.skip(advice)


@pytest.fixture(scope="session", autouse=True)
def _cookiecutter_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep cookiecutter's files, such as the answers of its last run, out of the home directory."""
    home = tmp_path_factory.mktemp("cookiecutter")
    config = home / "config.yaml"
    config.write_text(f"cookiecutters_dir: {home}/templates\nreplay_dir: {home}/replay\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        patch.setenv("TMPDIR", str(home))  # cookiecutter leaves its rendered hooks there
        patch.setattr("tempfile.tempdir", str(home))
        yield


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """``bake(license="MIT")`` bakes a project into the folder of the test and returns its folder."""

    def bake(**answers: Any) -> Path:
        return bake_into(tmp_path, **answers)

    return bake


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project, installed; see :func:`install_once`."""
    return install_once(tmp_path_factory)


@pytest.fixture
def serve(project: Path, tmp_path: Path) -> Iterator[Serve]:
    """``serve(SENTRY_DSN="...")`` starts the default project under Gunicorn. It is stopped when the test ends.

    ``serve(extra="...")`` runs lines of Python that can use ``app``, for example to add a view that raises. The service
    has its own migrated SQLite database unless ``DATABASE_URL`` is given. ``service.flask("tokens", "create", "me")``
    runs a command with the same settings.
    """
    with ExitStack() as services:
        yield partial(_serve, services, project, tmp_path)


@pytest.fixture(scope="module")
def serve_all(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Like ``serve``, for a service shared by the tests of a module."""
    with ExitStack() as services:
        yield partial(_serve, services, project, tmp_path_factory.mktemp("services"))


def _serve(services: ExitStack, project: Path, folder: Path, extra: str = "", **settings: str) -> Service:
    if "DATABASE_URL" not in settings:
        database = folder / f"{secrets.token_hex(4)}.db"
        shutil.copy(project / "migrated.db", database)
        settings["DATABASE_URL"] = f"sqlite:///{database}"
    settings = {"SECRET_KEY": "test", **settings}
    service = Service(project, folder, extra, user_environment(**settings))
    service.flask = partial(flask, project, **settings)
    services.callback(service.stop)
    return service


@pytest.fixture
def develop(project: Path, bake: Bake, tmp_path: Path) -> Iterator[Develop]:
    """``develop("flask", "run", "--debug")`` starts a development server whose view ``/crash`` raises an exception.

    It has only the settings that are passed.
    """
    mine = bake()
    with (mine / "src/my_service/home.py").open("a") as views:
        views.write(CRASH)
    with ExitStack() as services:

        def develop(*command: str, **settings: str) -> Service:
            environment = user_environment(PYTHONPATH=str(mine / "src"), **settings)
            service = Service(project, tmp_path, "", environment, command, mine)
            services.callback(service.stop)
            return service

        yield develop


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server. ``postgres.database()`` creates a database."""
    need(POSTGRES, "PostgreSQL is missing. Install the dev group: uv sync")
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis server. ``redis.cli("FLUSHALL")`` empties it."""
    need(REDIS, "Redis is missing. Install it: apt-get install redis-server")
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def sentry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kent]:
    """A Sentry server shared by the tests of a module."""
    kent = Kent(tmp_path_factory.mktemp("kent"))
    yield kent
    kent.stop()
