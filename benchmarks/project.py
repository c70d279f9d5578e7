"""Bake and install the default project into a folder, as a user would."""

import os
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")


def install(folder: Path, revision: str | None = None) -> Path:
    """Bake the default project into a folder and install it.

    :param revision: a commit or tag of this repository. By default the working tree is used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    template = checkout(folder / "template", revision) if revision else TEMPLATE
    config = folder / "cookiecutter.yaml"
    config.write_text(f"cookiecutters_dir: {folder}/templates\nreplay_dir: {folder}/replay\n")
    bake = [sys.executable, "-m", "cookiecutter", "--no-input", f"--config-file={config}", f"--output-dir={folder}"]
    scratch = {**os.environ, "TMPDIR": str(folder)}  # cookiecutter leaves files of the hooks there
    subprocess.run([*bake, template], check=True, stdout=subprocess.DEVNULL, env=scratch)
    project = folder / "my-service"
    subprocess.run([UV, "sync", "--quiet"], cwd=project, env=environment(), check=True)
    return project


def checkout(folder: Path, revision: str) -> Path:
    """Export a revision of this repository into a folder."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=TEMPLATE, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract"], cwd=folder, input=archive, check=True)
    return folder


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a user: no virtual environment of the template, no other settings of the service."""
    kept = ("HOME", "LANG", "PATH", "UV_", "PIP_", "SSL_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)} | settings


def versions(project: Path, *packages: str) -> str:
    """Return the versions of Python and of packages."""
    program = """
import platform, sys
from importlib.metadata import version
print(", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in sys.argv[1:])]), end="")
"""
    return subprocess.check_output([project / ".venv/bin/python", "-c", program, *packages], text=True)
