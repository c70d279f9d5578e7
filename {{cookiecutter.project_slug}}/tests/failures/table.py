"""One table of what failures look like, noted while tests ask, read the log, and read what Sentry has got.

``@pytest.mark.failure("the disk is full")`` makes a test, or a module, one of those that fill this row.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

ROWS = (
    "a client hangs up while its body is read",
    "clients stall",
    "a client goes away amid an answer",
    "the database is locked",
    "the database is down, hangs or is restarted",
    "no connection is free; a deadlock; a statement that takes too long",
    "the disk is full",
    "the disk fails",
    "another system is overloaded or slow",
    "another system cannot be reached, or not be trusted",
    "a bug in a library",
    "no stack, memory or file descriptors are left",
    "a worker is killed or stuck",
    "the service is stopped or reloaded under load",
    "a hook, an error handler or a stream fails",
    "Sentry is down",
    "the log is closed or full",
    "malformed HTTP",
    "10,000 hostile requests",
)
COLUMNS = ("client", "log", "Sentry")
LEVELS = ("info", "warning", "error", "critical", "fatal")

Notes = set[tuple[str, str, str]]
"""Column, what was seen there, and more about it, such as the form of an answer."""

notes: Notes = set()
"""Of the test that runs."""


def note(column: str, what: object, more: str = "") -> None:
    notes.add((column, str(what), more))


class Table:
    """A plugin of pytest: the file is written when all tests have been run, wherever they were."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rows: dict[str, Notes] = {row: set() for row in ROWS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: dict[str, Any] = dict(report.user_properties)
        if "failure" in properties:
            row, seen = properties["failure"]
            self._rows[row].update((column, what, more) for column, what, more in seen)

    def pytest_sessionfinish(self) -> None:
        lines = [["failure", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
        lines += [[row, *(cell(seen, column) for column in COLUMNS)] for row, seen in self._rows.items()]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def cell(seen: Notes, column: str) -> str:
    """Such as ``503 (page, problem, Retry-After), 507 (page)``. Of a log, what is above info, if anything is."""
    found: dict[str, set[str]] = defaultdict(set)
    for _, what, more in (each for each in seen if each[0] == column):
        found[what].add(more)
    if len(found) > 1:
        found.pop("info", None)
    return ", ".join(entry(what, found[what] - {""}) for what in sorted(found, key=order)) or "-"


def entry(what: str, more: set[str]) -> str:
    return f"{what} ({', '.join(sorted(more, key=str.casefold))})" if more else what


def order(what: str) -> tuple[int, str]:
    """By severity, by number."""
    return LEVELS.index(what) if what in LEVELS else 0, what
