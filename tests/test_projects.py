"""Projects installed as a user installs them, on every Python that the template supports and this machine has."""

import json
import os
import subprocess
import sys
import tomllib
from email.utils import parseaddr
from pathlib import Path

import jinja2
import pytest
from conftest import PYTHONS, TEMPLATE, UV, Bake, install, user_environment

OTHER = {
    "project_name": "O'Brien's \"Shop\" \\ <b>& 漢字 \N{PARTY POPPER}",
    "project_slug": "other_app",
    "description": "'''%s# \"\"\" ]] \\u0041 <b>& 漢字 \N{PARTY POPPER}\\",
    "author_name": 'Zoë "Z" O\'Brien, 漢字 \\',
    "author_email": "zoe.o'brien+shop@example.org",
    "license": "BSD-3-Clause",
    "ci": "GitLab",
}


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a user whose home is empty; what uv has downloaded and mypy has read is kept."""
    home = tmp_path_factory.mktemp("home")
    cache = subprocess.run([UV, "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    return user_environment(
        HOME=str(home),
        PATH=os.pathsep.join([str(UV.parent), os.environ["PATH"]]),
        UV_CACHE_DIR=cache,
        UV_PYTHON_DOWNLOADS="never",
        MYPY_CACHE_DIR=str(home / "mypy"),
    )


def run(project: Path, environment: dict[str, str], *command: str | Path) -> str:
    """What the command prints. It has to succeed."""
    result = subprocess.run(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("answers", [{}, OTHER], ids=["default", "other"])
@pytest.mark.parametrize("version", PYTHONS)
def test_make_test_passes(bake: Bake, new_home: dict[str, str], version: str, answers: dict[str, str]) -> None:
    project = bake(**answers)
    environment = new_home | {"UV_PYTHON": PYTHONS[version]}
    assert " passed in " in run(project, environment, "make", "test")
    assert version in run(project, environment, project / ".venv/bin/python", "--version")


@pytest.mark.slow
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
def test_metadata_of_the_installed_package_is_what_was_answered(bake: Bake) -> None:
    project = bake(**OTHER)
    install(project, "--no-dev")
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
    """What the hook says, without the second that cookiecutter takes to ask it."""
    answers = json.loads((TEMPLATE / "cookiecutter.json").read_text()) | {"project_slug": slug, "__project_slug": slug}
    hook = jinja2.Template((TEMPLATE / "hooks/pre_gen_project.py").read_text()).render(cookiecutter=answers)
    return subprocess.run([sys.executable, "-c", hook], capture_output=True).returncode != 0


def test_no_library_that_is_installed_with_the_project_is_accepted_as_slug(project: Path) -> None:
    """Such a project could not be installed, or its package would hide the library. Other systems have more of them."""
    names = run(project, user_environment(), project / ".venv/bin/python", "-c", INSTALLED).lower().split()
    names += [package["name"] for package in tomllib.loads((project / "uv.lock").read_text())["package"]]
    assert {"colorama", "markdown_it", "xdist", "my-service"} < set(names)
    assert [name for name in sorted(set(names)) if not is_refused(name)] == ["my-service"]


def test_no_module_of_the_tests_is_accepted_as_slug(bake: Bake) -> None:
    """The tests would import themselves instead of the package."""
    modules = [path.stem for path in (bake() / "tests").glob("*.py")]
    assert "conftest" in modules
    assert [name for name in modules if not is_refused(name)] == []
