"""The failures that the generated project provokes in itself: all of them, none skipped."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import TEMPLATE, UV, Bake, install, user_environment
from servers import Postgres

START, END = "<!-- table of failures -->", "<!-- end of the table of failures -->"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_make_failures_passes_on_sqlite_and_on_postgresql(bake: Bake, postgres: Postgres) -> None:
    """With CI a test that would be skipped fails. Those of the database are run on both."""
    project = bake()
    install(project)
    environment = user_environment(
        CI="true",
        PATH=os.pathsep.join([str(UV.parent), str(postgres.programs), os.environ["PATH"]]),
        TEST_DATABASE_URL=postgres.database(),
        SOAK_SECONDS="120",
    )
    made = subprocess.run(
        ["make", "failures"], cwd=project, env=environment, capture_output=True, text=True, timeout=900
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert " passed" in made.stdout
    assert "skipped" not in made.stdout
    assert_documented(project / "build/failures.md")


def assert_documented(table: Path) -> None:
    """What is said of the failures is what the tests have seen."""
    seen = table.read_text()
    documented = (TEMPLATE / "docs/failed-request.md").read_text().split(START)[1].split(END)[0].strip() + "\n"
    assert documented == seen, f"Copy the table from {table} to docs/failed-request.md, between the comments:\n{seen}"
