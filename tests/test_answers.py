"""Answers to the questions: each one works, or is refused in one sentence."""

import ast
import json
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from baking import files, load_hook, run_cookiecutter, texts
from conftest import TEMPLATE

HOOK = load_hook()
REFUSED_SLUGS = {
    "": "is not made of lower-case ASCII words",
    "-x": "is not made of lower-case ASCII words",
    "..": "is not made of lower-case ASCII words",
    "../up": "is not made of lower-case ASCII words",
    "1app": "is not made of lower-case ASCII words",
    "My-Service": "is not made of lower-case ASCII words",
    "a b": "is not made of lower-case ASCII words",
    "a/b": "is not made of lower-case ASCII words",
    "a\\b": "is not made of lower-case ASCII words",
    "a--b": "is not made of lower-case ASCII words",
    "\u00e9": "is not made of lower-case ASCII words",
    "x" * 200: "is longer than 50 characters",
    "class": "is a keyword of Python",
    "match": "is a keyword of Python",
    "json": "is the name of a module of Python's standard library",
    "test": "is the name of a module of Python's standard library",
    "flask": "is the name of a library",
    "pydantic-core": "is the name of a library",
    "pip": "is the name of a library",
    "markdown_it": "is the name of a library",
    "importlinter": "is the name of a library",
    "core": "is the name of a module of the tests",
    "test-api": "is the name of a module of the tests",
    "tests": "is the name of a folder of the project",
    "aux": "is a name that Windows reserves",
}
REFUSED_BY_COOKIECUTTER = ["", "..", "../up", "a b", "x" * 300]
"""Slugs for which cookiecutter would create another folder than the one that the hook is run for."""
HOSTILE_TEXTS = [
    "O'Brien",
    'a "b" \\ c',
    "<b>&",
    "漢字",
    "\N{PARTY POPPER}",
    "trailing\\",
    "{{ x }}",
    "{% raw %}",
    "'''",
    '"""',
    "%s",
    "#",
    "]]",
    "\\u0041\\n",
    "[bold]: no",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder in an empty folder, in which cookiecutter is run."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def assert_refused(folder: Path, question: str, answer: str, rule: str, *options: str) -> None:
    before = list(folder.parent.rglob("*"))
    result = run_cookiecutter(TEMPLATE, "--no-input", *options, f"{question}={answer}", folder=folder)
    assert result.returncode != 0
    shown = re.escape(json.dumps(answer, ensure_ascii=False))
    assert re.fullmatch(rf"{question} {shown} {rule}.*: choose another, such as \S.*\n", result.stderr)
    assert list(folder.parent.rglob("*")) == before


@pytest.mark.parametrize(("slug", "rule"), REFUSED_SLUGS.items(), ids=lambda text: ascii(text)[:20])
def test_slug_is_refused(slug: str, rule: str) -> None:
    assert HOOK.slug_problem(slug).startswith(rule)


@pytest.mark.parametrize("slug", ["a", "my-service", "other_app", "shop2", "x" * 50])
def test_slug_is_accepted(slug: str) -> None:
    assert HOOK.slug_problem(slug) is None


@pytest.mark.parametrize("slug", REFUSED_BY_COOKIECUTTER, ids=lambda text: text[:20])
def test_refused_slug_leaves_nothing_behind(folder: Path, slug: str) -> None:
    assert_refused(folder, "project_slug", slug, "is (not made of lower-case ASCII words|longer than 50 characters)")


def test_absolute_path_is_refused(folder: Path) -> None:
    assert_refused(folder, "project_slug", str(folder.parent / "outside"), "is not made of lower-case ASCII words")


def test_folder_of_a_refused_name_is_left_alone_even_with_overwriting(folder: Path) -> None:
    (folder / "tests").mkdir()
    (folder / "tests/own.py").write_text("own\n")
    assert_refused(folder, "project_slug", "tests", "is the name of a folder of the project", "--overwrite-if-exists")
    assert files(folder) == {"tests/own.py": b"own\n"}


@pytest.mark.parametrize("question", ["project_name", "description", "author_name"])
def test_two_lines_are_refused(folder: Path, question: str) -> None:
    assert_refused(folder, question, "two\nlines", "is more than one line of plain text")


@pytest.mark.parametrize("text", ["a\ttab", "a\abell", "a\x7fdelete", "a\u2028separator"], ids=ascii)
def test_control_character_is_refused(text: str) -> None:
    assert HOOK.text_problem(text) == "is more than one line of plain text"
    assert HOOK.name_problem(text) == "is more than one line of plain text"


def test_blank_name_is_refused(folder: Path) -> None:
    assert HOOK.name_problem("  ") == "is blank"
    assert_refused(folder, "author_name", "  ", "is blank")


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "a b@example.org", '"a"@example.org', "a@example.org\n"])
def test_invalid_mail_address_is_refused(email: str) -> None:
    assert HOOK.email_problem(email) == "is not an e-mail address"


def test_each_question_is_checked_by_its_function() -> None:
    checks = {question: check.__name__ for question, _, check, _ in HOOK.QUESTIONS}
    assert checks == {
        "project_name": "name_problem",
        "project_slug": "slug_problem",
        "description": "text_problem",
        "author_name": "name_problem",
        "author_email": "email_problem",
    }


def test_refused_mail_address_leaves_nothing_behind(folder: Path) -> None:
    assert_refused(folder, "author_email", "nobody", "is not an e-mail address")


def test_name_that_would_become_a_refused_slug_is_refused(folder: Path) -> None:
    result = run_cookiecutter(TEMPLATE, "--no-input", "project_name=Flask", folder=folder)
    assert result.stderr.startswith('project_slug "flask" is the name of a library')


def type_answers(folder: Path, text: str) -> Path:
    """Enter this text at the prompts for name, description and author, and accept the other defaults."""
    typed = "\n".join([text, "", text, text, "", "", "", ""])
    result = run_cookiecutter(TEMPLATE, folder=folder, typed=typed)
    assert result.returncode == 0, result.stderr
    (made,) = folder.iterdir()
    return made


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=ascii)
def test_hostile_text_is_kept_exactly_and_breaks_no_file(folder: Path, text: str) -> None:
    made = texts(type_answers(folder, text))
    project = tomllib.loads(made["pyproject.toml"])["project"]
    assert project["description"] == text
    assert project["authors"] == [{"name": text, "email": "you@example.com"}]
    assert made["README.md"].startswith(f"# {text}\n\n{text}\n")
    assert text in made["LICENSE"]
    for path, content in made.items():
        if path.endswith(".py"):
            compile(content, path, "exec")
        elif path.endswith((".yml", ".yaml")):
            yaml.safe_load(content)


HOOKS = sorted((TEMPLATE / "hooks").glob("*.py"))


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.stem)
def test_hook_imports_the_standard_library_only(hook: Path) -> None:
    tree = ast.parse(hook.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= sys.stdlib_module_names
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


AUDIT = """
import os, sys

FORBIDDEN = ("subprocess.", "socket.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "urllib.")

def audit(event, arguments):
    if event.startswith(FORBIDDEN) and "cookiecutter" not in os.path.basename(sys.argv[0]):
        os.write(2, event.encode())
        os._exit(3)

sys.addaudithook(audit)
"""


def test_hooks_start_no_process_and_use_no_network(folder: Path, tmp_path: Path) -> None:
    """The audit hook ends their process if they try. cookiecutter itself is allowed to start the hooks."""
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/sitecustomize.py").write_text(AUDIT)
    result = run_cookiecutter(TEMPLATE, "--no-input", folder=folder, PYTHONPATH=str(tmp_path / "audit"))
    assert (result.returncode, result.stderr) == (0, "")


def test_hooks_work_with_an_empty_path(folder: Path) -> None:
    result = run_cookiecutter(TEMPLATE, "--no-input", folder=folder, PATH="")
    assert (result.returncode, result.stderr) == (0, "")
    assert os.listdir(folder) == ["my-service"]


def test_next_steps_are_printed(folder: Path) -> None:
    result = run_cookiecutter(TEMPLATE, "--no-input", "project_slug=other_app", folder=folder)
    assert "other_app is ready" in result.stdout
    assert "cd other_app\n" in result.stdout
