"""Flask's documentation keeps working in a baked service, for the code that its owner adds.

https://flask.palletsprojects.com/en/stable/errorhandling/, and what the service promises beyond it. The tests are in
``patterns/``; they run in the baked project, with its own Python, fixtures and pytest settings.
"""

import subprocess
from pathlib import Path

import pytest
from conftest import user_environment

PATTERNS = Path(__file__).with_name("patterns")
FILES = sorted({file.name for file in PATTERNS.glob("*.py")} - {"asking.py"})


@pytest.mark.parametrize("file", FILES)
def test_patterns(project: Path, file: str) -> None:
    command = [project / ".venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest"]
    asked = subprocess.run(
        [*command, f"--config-file={project}/pyproject.toml", f"--confcutdir={PATTERNS}", PATTERNS / file],
        cwd=project,
        env=user_environment(PYTHONPATH=str(project / "tests")),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
