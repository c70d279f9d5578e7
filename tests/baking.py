"""Helpers that run cookiecutter as a user does and read the files that it creates."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from conftest import TEMPLATE

COOKIECUTTER = Path(sys.executable).with_name("cookiecutter")
PROJECT_FOLDER = "{{cookiecutter.project_slug}}/"
"""The folder of the template that becomes the project."""


def run_cookiecutter(
    template: Path | str, *arguments: str, folder: Path, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder.

    :param typed: the input at its prompts.
    """
    return subprocess.run(
        [COOKIECUTTER, template, *arguments],
        cwd=folder,
        input=typed,
        env=os.environ | {"PYTHONUTF8": "1"} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def load_hook() -> ModuleType:
    """Import hooks/pre_gen_project.py, with no answers, so that its functions can be called."""
    source = (TEMPLATE / "hooks/pre_gen_project.py").read_text()
    placeholder = "{{ cookiecutter | tojson }}"
    assert placeholder in source
    hook = ModuleType("pre_gen_project")
    exec(source.replace(placeholder, "{}"), hook.__dict__)
    return hook


def files(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder except git's and compiled ones: path, with /, to content."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        inner.as_posix(): path.read_bytes()
        for inner, path in paths.items()
        if not {".git", "__pycache__"} & {*inner.parts}
    }


def texts(folder: Path) -> dict[str, str]:
    """Return the files in a folder as :func:`files` does, decoded as UTF-8."""
    return {path: content.decode() for path, content in files(folder).items()}


def git(folder: Path, *arguments: str) -> str:
    """Run git without the machine's configuration and return its output."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8"
    )
    return result.stdout


def commit_everything(folder: Path) -> None:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "As it stands")


def template_files() -> list[str]:
    """Return the files of the template, committed or not."""
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard").rstrip("\0").split("\0")
    return [path for path in listed if (TEMPLATE / path).is_file()]
