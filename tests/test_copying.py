"""The third user: copies the ``errors`` folder, and nothing else, into an application of their own.

That application is ``copying/shop``. What is asked of it is in ``copying/questions.py``.
"""

import ast
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TEMPLATE, UV, user_environment

ERRORS = TEMPLATE / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package}}/errors"
FLASK = {"flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker"}
ALLOWED = {"flask", "werkzeug", "jinja2", "markupsafe"} | sys.stdlib_module_names
FOR_TYPE_CHECKERS = {"_typeshed"}

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


@pytest.mark.parametrize("source", sorted(ERRORS.rglob("*.py")), ids=lambda source: source.name)
def test_folder_imports_flask_its_libraries_the_standard_library_and_itself(source: Path) -> None:
    for level, name in imports(ast.parse(source.read_text())):
        if level:
            assert level == 1, f"{'.' * level}{name} is outside the folder"
            assert (source.parent / f"{name}.py").is_file()
        else:
            assert name.partition(".")[0] in ALLOWED | FOR_TYPE_CHECKERS


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every import, wherever it stands: how many dots, and the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""
