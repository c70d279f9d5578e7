"""The default project, baked and installed into a folder, as a user would."""

import os
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parent.parent
UV = Path(sys.executable).with_name("uv")


def install(folder: Path) -> Path:
    """Bake the default project into a folder and install it, as the READMEs say."""
    config = folder / "cookiecutter.yaml"
    config.write_text(f"cookiecutters_dir: {folder}/templates\nreplay_dir: {folder}/replay\n")
    bake = [sys.executable, "-m", "cookiecutter", "--no-input", f"--config-file={config}", f"--output-dir={folder}"]
    scratch = {"TMPDIR": str(folder)}  # where cookiecutter leaves what it made of the hooks
    subprocess.run([*bake, TEMPLATE], check=True, stdout=subprocess.DEVNULL, env={**os.environ, **scratch})
    project = folder / "my-service"
    subprocess.run([UV, "sync", "--quiet"], cwd=project, env=environment(), check=True)
    return project


def environment(**settings: str) -> dict[str, str]:
    """The environment of a user: nothing of the template's own virtual environment, no other setting of the service."""
    kept = ("HOME", "LANG", "PATH", "UV_", "PIP_", "SSL_")
    return {name: value for name, value in os.environ.items() if name.startswith(kept)} | settings


def versions(project: Path, *packages: str) -> str:
    """The versions of Python and of these packages, in a phrase."""
    program = """
import platform, sys
from importlib.metadata import version
print(", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in sys.argv[1:])]), end="")
"""
    return subprocess.check_output([project / ".venv/bin/python", "-c", program, *packages], text=True)
