"""Fixtures: bake a project, install it as a user would, start it."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
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

CRASH = """
@bp.get("/crash")
def crash() -> str:
    import sys

    raise RuntimeError(f"boom, sentry_sdk imported: {'sentry_sdk' in sys.modules}")
"""


def find_python(version: str) -> str | None:
    """The path of this Python, as uv finds it or else pyenv, whose shims hide what is not switched on."""
    uv = [str(UV), "python", "find", "--system", "--no-python-downloads", version]
    pyenv = ["pyenv", "whence", "--path", f"python{version}"]
    for command in (uv, pyenv):
        if shutil.which(command[0]):
            found = subprocess.run(command, capture_output=True, text=True)
            if found.returncode == 0:
                return found.stdout.splitlines()[-1]
    return None


PYTHONS = {version: path for version in ("3.11", "3.12", "3.13", "3.14") if (path := find_python(version))}
"""Those of the supported Pythons that this machine has: version to path."""


def pytest_report_header() -> str:
    return f"Pythons for the generated project: {', '.join(PYTHONS)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts from an installed project is slow: it waits for the package index."""
    for item in items:
        if "project" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def user_environment(**changes: str) -> dict[str, str]:
    """The environment of a user: nothing of the tests' own virtual environment, no setting of the service."""
    kept = ("HOME", "LANG", "PATH", "UV_", "PIP_", "SSL_", "REQUESTS_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)} | changes


def bake_into(folder: Path, **answers: Any) -> Path:
    """The project that cookiecutter makes of these answers and the defaults, in this folder."""
    return Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, extra_context=answers))


def install(project: Path, *options: str) -> None:
    subprocess.run([UV, "sync", "--quiet", *options], cwd=project, env=user_environment(), check=True, timeout=300)


def flask(project: Path, *command: str, **settings: str) -> str:
    """What a command of an installed project prints, such as ``flask(project, "tokens", "create", "me")``."""
    run = [project / ".venv/bin/flask", *command]
    environment = user_environment(**{"SECRET_KEY": "test", **settings})
    done = subprocess.run(run, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"flask {' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def need(program: object, advice: str) -> None:
    """Skip the test where a program was not found. In CI fail it: nobody reads there what was skipped."""
    if not program:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(advice)


@pytest.fixture(scope="session", autouse=True)
def _cookiecutter_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """cookiecutter keeps the answers of its last run, and more; not in the home of who runs the tests."""
    home = tmp_path_factory.mktemp("cookiecutter")
    config = home / "config.yaml"
    config.write_text(f"cookiecutters_dir: {home}/templates\nreplay_dir: {home}/replay\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        patch.setenv("TMPDIR", str(home))  # where cookiecutter leaves its rendered hooks
        patch.setattr("tempfile.tempdir", str(home))
        yield


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """``bake(license="MIT")`` makes a project in a folder of its own and returns where."""

    def bake(**answers: Any) -> Path:
        return bake_into(tmp_path, **answers)

    return bake


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project, installed. ``migrated.db`` in it is an SQLite database to copy."""
    made = bake_into(tmp_path_factory.mktemp("project"))
    install(made)
    flask(made, "db", "upgrade", DATABASE_URL=f"sqlite:///{made}/migrated.db")
    return made


@pytest.fixture
def serve(project: Path, tmp_path: Path) -> Iterator[Serve]:
    """``serve(SENTRY_DSN="…")`` starts the default project under gunicorn; the test's end stops it.

    ``serve(extra="…")``: with lines of Python that may use ``app``, such as a view that crashes.
    It has a migrated SQLite database of its own, unless ``DATABASE_URL`` names one. Commands, also such as migrate
    that one, are run with ``service.flask("tokens", "create", "me")``.
    """
    with ExitStack() as services:
        yield partial(_serve, services, project, tmp_path)


@pytest.fixture(scope="module")
def serve_all(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Like ``serve``, for a service that the tests of a module share."""
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
    """``develop("flask", "run", "--debug")`` starts a development server of a project whose ``/crash`` crashes.

    It has no settings but those given.
    """
    mine = bake()
    with (mine / "src/my_service/site.py").open("a") as views:
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
    """A PostgreSQL server that all tests share. ``postgres.database()`` makes a database of one's own."""
    need(POSTGRES, "PostgreSQL is missing. Install the dev group: uv sync")
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis server that all tests share, and what they leave in it. ``redis.cli("FLUSHALL")`` empties it."""
    need(REDIS, "Redis is missing. Install it: apt-get install redis-server")
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def sentry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kent]:
    """A Sentry server that the tests of a module share."""
    kent = Kent(tmp_path_factory.mktemp("kent"))
    yield kent
    kent.stop()
