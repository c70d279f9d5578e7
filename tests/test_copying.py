"""The third user: copies the ``errors`` folder, and nothing else, into an application of their own.

That application is ``copying/shop``. What is asked of it is in ``copying/questions.py``.
"""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TEMPLATE, UV, user_environment

ERRORS = TEMPLATE / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package}}/errors"
FLASK = {"flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker"}
ALLOWED = {"flask", "werkzeug", "jinja2", "markupsafe", "click", "_typeshed"} | sys.stdlib_module_names

START = """
import json
from importlib.metadata import distributions
from shop import create_app

answer = create_app().test_client().get("/api/unknown")
print(json.dumps([answer.status_code, answer.mimetype, [found.name.lower() for found in distributions()]]))
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an existing application that ``errors`` was copied into, with an environment that has Flask."""
    folder = tmp_path_factory.mktemp("copying")
    shutil.copytree(Path(__file__).with_name("copying"), folder, dirs_exist_ok=True)
    shutil.copytree(ERRORS, folder / "shop" / "errors")
    for command in (["venv", "--python", sys.executable], ["pip", "install", "flask"]):
        run(folder, UV, *command, "--quiet").check_returncode()
    return folder


def run(folder: Path, *command: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=user_environment(), capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_copy_starts_where_there_is_flask_alone(shop: Path) -> None:
    started = run(shop, ".venv/bin/python", "-W", "error", "-c", START)
    assert started.returncode == 0, started.stderr
    status, media_type, installed = json.loads(started.stdout)
    assert (status, media_type) == (404, "application/problem+json")
    assert set(installed) == FLASK


@pytest.mark.slow
def test_copy_answers_as_in_the_service(shop: Path) -> None:
    with_pytest = ("run", "--no-project", "--python", ".venv/bin/python", "--with", "pytest", "--quiet")
    asked = run(shop, UV, *with_pytest, "python", "-m", "pytest", "-q", "-W", "error", "questions.py")
    assert asked.returncode == 0, asked.stdout + asked.stderr


def test_folder_imports_flask_its_libraries_the_standard_library_and_itself() -> None:
    for source in ERRORS.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= ALLOWED, source.name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.module or "").partition(".")[0] in ALLOWED, source.name
