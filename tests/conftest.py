"""Fixtures: bake a project, install it as a user would, start it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cookiecutter.main import cookiecutter
from service import Service

TEMPLATE = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")

Bake = Callable[..., Path]
Serve = Callable[..., Service]


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


@pytest.fixture(scope="session", autouse=True)
def _cookiecutter_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """cookiecutter keeps the answers of its last run; not in the home of who runs the tests."""
    home = tmp_path_factory.mktemp("cookiecutter")
    config = home / "config.yaml"
    config.write_text(f"cookiecutters_dir: {home}/templates\nreplay_dir: {home}/replay\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COOKIECUTTER_CONFIG", str(config))
        yield


@pytest.fixture
def bake(tmp_path: Path) -> Bake:
    """``bake(license="MIT")`` makes a project in a folder of its own and returns where."""

    def bake(**answers: Any) -> Path:
        return bake_into(tmp_path, **answers)

    return bake


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project, installed."""
    made = bake_into(tmp_path_factory.mktemp("project"))
    install(made)
    return made


@pytest.fixture
def serve(project: Path, tmp_path: Path) -> Iterator[Serve]:
    """``serve(SENTRY_DSN="…")`` starts the default project under gunicorn; the test's end stops it.

    ``serve(extra="…")``: with lines of Python that may use ``app``, such as a view that crashes.
    """
    started: list[Service] = []

    def serve(extra: str = "", **settings: str) -> Service:
        started.append(Service(project, tmp_path, extra, user_environment(SECRET_KEY="test", **settings)))
        return started[-1]

    yield serve
    for service in started:
        service.stop()
