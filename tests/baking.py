"""Running cookiecutter as a user does, and looking at what it made."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import TEMPLATE

COOKIECUTTER = Path(sys.executable).with_name("cookiecutter")
PROJECT_FOLDER = "{{cookiecutter.project_slug}}/"
"""The folder of the template that becomes the project."""


def run_cookiecutter(
    template: Path | str, *arguments: str, folder: Path, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The real command, started in a folder.

    :param typed: what is typed at its prompts.
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


def files(folder: Path) -> dict[str, bytes]:
    """Everything in a folder, git's own records excepted: path, with /, to content."""
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {inner.as_posix(): path.read_bytes() for inner, path in paths.items() if inner.parts[0] != ".git"}


def texts(folder: Path) -> dict[str, str]:
    """As ``files``, decoded as the UTF-8 that they have to be."""
    return {path: content.decode() for path, content in files(folder).items()}


def git(folder: Path, *arguments: str) -> str:
    """git with nothing of the machine's configuration."""
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
    """Every file of the template as it stands, committed or not."""
    listed = git(TEMPLATE, "ls-files", "-z", "--cached", "--others", "--exclude-standard").rstrip("\0").split("\0")
    return [path for path in listed if (TEMPLATE / path).is_file()]
