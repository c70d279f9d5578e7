"""Every way to create a project gives the same files, and cruft updates it to a later version of the template."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from baking import PROJECT_FOLDER, commit_everything, files, git, run_cookiecutter, template_files
from conftest import TEMPLATE

CRUFT = Path(sys.executable).with_name("cruft")
pytestmark = pytest.mark.slow
ANSWERS = {
    "project_name": "O'Brien's \"Shop\" \\ <b>&漢字",
    "project_slug": "other_app",
    "description": "#'''\\",
    "license": "BSD-3-Clause",
    "ci": "GitHub",
}
TYPED = [f"{question}={answer}" for question, answer in ANSWERS.items()]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A git repository with the template, uncommitted changes included."""
    copy = tmp_path / "template"
    for path in template_files():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TEMPLATE / path, copy / path)
    commit_everything(copy)
    return copy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder in which the commands are run."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def bake(folder: Path, template: Path | str, *arguments: str) -> dict[str, bytes]:
    result = run_cookiecutter(template, *arguments, folder=folder)
    assert result.returncode == 0, result.stderr
    made = files(folder / "other_app")
    shutil.rmtree(folder / "other_app")
    return made


def cruft(folder: Path, *arguments: str) -> None:
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PYTHONUTF8": "1"}
    subprocess.run([CRUFT, *arguments], cwd=folder, env=environment, check=True, timeout=60)


def test_local_checkout_clone_zip_replay_and_cruft_make_the_same_project(template: Path, folder: Path) -> None:
    archive = folder / "template.zip"
    git(template, "archive", "--format=zip", "--prefix=template/", f"--output={archive}", "HEAD")

    local = bake(folder, TEMPLATE, "--no-input", *TYPED)
    clone = bake(folder, f"git+{template.as_uri()}", "--no-input", *TYPED)
    unzipped = bake(folder, str(archive), "--no-input", *TYPED)
    replayed = bake(folder, template, "--replay")
    cruft(folder, "create", str(template), "--no-input", "--extra-context", json.dumps(ANSWERS))
    crufted = files(folder / "other_app")

    assert "LICENSE" in local
    assert clone == local
    assert unzipped == local
    assert replayed == local
    assert crufted.pop(".cruft.json")
    assert crufted == local


def change(template: Path) -> None:
    """Commit a second version of the template: files in its source and elsewhere are changed, added and deleted."""
    project = template / PROJECT_FOLDER
    source = project / "src/{{cookiecutter.__package}}"
    (source / "__main__.py").unlink()
    (source / "errors/new.py").write_text('"""{{ copied, not rendered }}"""\n')
    (source / "config.py").write_text("# first\n" + (source / "config.py").read_text())
    (project / "compose.yaml").unlink()
    (project / "notes").mkdir()
    (project / "notes/new.md").write_text("# New in {{ cookiecutter.project_name }}\n")
    with (project / "README.md").open("a") as readme:
        readme.write("\nLast line of {{ cookiecutter.project_slug }}.\n")
    commit_everything(template)


def test_cruft_update_gives_the_files_of_the_new_version_and_keeps_files_of_the_user(
    template: Path, folder: Path
) -> None:
    cruft(folder, "create", str(template), "--no-input", "--extra-context", json.dumps(ANSWERS))
    project = folder / "other_app"
    (project / "src/other_app/own.py").write_text("own\n")
    commit_everything(project)
    cruft(project, "check")

    change(template)
    with pytest.raises(subprocess.CalledProcessError):
        cruft(project, "check")
    cruft(project, "update", "--skip-apply-ask")
    cruft(project, "check")
    cruft(project, "diff", "--exit-code")

    updated = files(project)
    assert updated.pop(".cruft.json")
    assert updated.pop("src/other_app/own.py") == b"own\n"
    project.rename(folder / "updated")
    assert updated == bake(folder, template, "--no-input", *TYPED)
    assert updated["notes/new.md"].decode() == f"# New in {ANSWERS['project_name']}\n"
    assert b"{{ copied, not rendered }}" in updated["src/other_app/errors/new.py"]
