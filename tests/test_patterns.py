"""Flask's documentation works in a baked service, for the code that its owner adds.

https://flask.palletsprojects.com/en/stable/errorhandling/, and what the service promises beyond it. The tests are in
``patterns/``; they run in the baked project, with its own Python.
"""

import subprocess
from pathlib import Path

from conftest import user_environment

PATTERNS = Path(__file__).with_name("patterns")


def test_patterns(project: Path, tmp_path: Path) -> None:
    files = sorted(set(PATTERNS.glob("*.py")) - {PATTERNS / "asking.py", PATTERNS / "conftest.py"})
    command = [project / ".venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(
        [*command, "--config-file=/dev/null", f"--rootdir={PATTERNS}", f"--confcutdir={PATTERNS}", *files],
        cwd=tmp_path,
        env=user_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
