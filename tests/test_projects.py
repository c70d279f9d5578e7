"""Projects installed as a user does, on every Python that the template supports and this machine has."""

import json
import os
import subprocess
import sys
import tomllib
from email.utils import parseaddr
from pathlib import Path

import pytest
from baking import load_hook
from conftest import PYTHONS, UV, Bake, find_python, install_once, user_environment

OTHER = {
    "project_name": "O'Brien's \"Shop\" \\ <b>& \u6f22\u5b57 \N{PARTY POPPER}",
    "project_slug": "other_app",
    "description": "'''%s# \"\"\" ]] \\u0041 <b>& \u6f22\u5b57 \N{PARTY POPPER}\\",
    "author_name": 'Zo\u00eb "Z" O\'Brien, \u6f22\u5b57 \\',
    "author_email": "zoe.o'brien+shop@example.org",
    "license": "BSD-3-Clause",
    "ci": "GitLab",
}
DEFAULT_PYTHON = find_python(">=3.11")
"""Path of the Python that uv chooses for a project. ``make test`` uses it, ``make nightly`` the others too."""
OTHER_PYTHONS = [version for version, path in PYTHONS.items() if path != DEFAULT_PYTHON]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user whose home is empty, with uv in the PATH and the cache of uv."""
    cache = subprocess.run([UV, "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    return user_environment(
        HOME=str(tmp_path_factory.mktemp("home")),
        PATH=os.pathsep.join([str(UV.parent), os.environ["PATH"]]),
        UV_CACHE_DIR=cache,
        UV_PYTHON_DOWNLOADS="never",
    )


def run(project: Path, environment: dict[str, str], *command: str | Path) -> str:
    """Run a command and return its output. It has to succeed."""
    result = subprocess.run(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_make_check_passes(project: Path, environment: dict[str, str]) -> None:
    """Format, lint, types, import contract and tests of the default project."""
    assert " passed in " in run(project, environment, "make", "check")


@pytest.mark.nightly
@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_make_check_passes_with_other_answers_on_other_pythons(
    bake: Bake, environment: dict[str, str], version: str
) -> None:
    project = bake(**OTHER)
    environment = environment | {"UV_PYTHON": PYTHONS[version]}
    assert " passed in " in run(project, environment, "make", "check")
    assert version in run(project, environment, project / ".venv/bin/python", "--version")


@pytest.mark.nightly
def test_lowest_versions_of_the_direct_dependencies_pass(bake: Bake, environment: dict[str, str]) -> None:
    """The tests pass with the oldest versions that pyproject.toml allows. Their warnings are not errors."""
    project = bake()
    run(project, environment, UV, "sync", "--quiet", "--all-extras", "--resolution", "lowest-direct")
    assert " passed in " in run(project, environment, project / ".venv/bin/python", "-m", "pytest", "-W", "ignore")


@pytest.mark.nightly
def test_pip_alone_installs_and_tests_the_project(bake: Bake) -> None:
    project = bake()
    python = project / ".venv/bin/python"
    run(project, user_environment(), sys.executable, "-m", "venv", ".venv")
    run(project, user_environment(), python, "-m", "pip", "install", "--quiet", "--upgrade", "pip")
    run(project, user_environment(), python, "-m", "pip", "install", "--quiet", "-e", ".", "--group", "dev")
    assert " passed in " in run(project, user_environment(), python, "-m", "pytest")


METADATA = """
import importlib.metadata, json
found = importlib.metadata.metadata("other_app")
print(json.dumps({name: found[name] for name in ("Name", "Version", "Summary", "Author-email", "License-Expression")}))
"""


@pytest.mark.slow
def test_metadata_of_the_installed_package_are_the_answers(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = install_once(tmp_path_factory, **OTHER)
    metadata = json.loads(run(project, user_environment(), project / ".venv/bin/python", "-c", METADATA))
    assert parseaddr(metadata.pop("Author-email")) == (OTHER["author_name"], OTHER["author_email"])
    assert metadata == {
        "Name": "other_app",
        "Version": "0.1.0",
        "Summary": OTHER["description"],
        "License-Expression": "BSD-3-Clause",
    }


INSTALLED = """
import importlib.metadata as metadata
modules = filter(str.isidentifier, metadata.packages_distributions())  # not yaml-stubs
print(*{found.name for found in metadata.distributions()}, *modules)
"""


def is_refused(slug: str) -> bool:
    return load_hook().slug_problem(slug) is not None


def test_slug_with_the_name_of_an_installed_library_is_refused(project: Path) -> None:
    """Such a project could not be installed, or its package would hide the library. Other systems have more of them."""
    names = run(project, user_environment(), project / ".venv/bin/python", "-c", INSTALLED).lower().split()
    names += [package["name"] for package in tomllib.loads((project / "uv.lock").read_text())["package"]]
    assert {"colorama", "markdown_it", "xdist", "my-service"} < set(names)
    assert [name for name in sorted(set(names)) if not is_refused(name)] == ["my-service"]


def test_slug_with_the_name_of_a_test_module_is_refused(bake: Bake) -> None:
    """The tests would import themselves instead of the package."""
    tests = bake() / "tests"
    modules = {path.stem for path in tests.rglob("*.py")} | {path.name for path in tests.iterdir() if path.is_dir()}
    assert "conftest" in modules
    assert [name for name in sorted(modules - {"__init__"}) if not is_refused(name)] == []
