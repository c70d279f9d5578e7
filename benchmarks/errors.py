"""Measure the cost of error handling: the default project compared with bare Flask.

    uv run python benchmarks/errors.py [REVISION]

It bakes the project into a temporary folder, installs it with uv, and measures the applications of ``contestants.py``.
With a commit or tag of this repository it measures the default project of that revision too.

The applications take turns within each round, so that other load of the machine affects all of them alike. The output
is the ratios within a round: their median and, in brackets, the middle half. Nothing is asserted: the exit status is 0
however slow. For Linux; it takes about three minutes.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from in_process import CASES, Case
from project import environment, install, versions
from ratios import Round, at_least, at_most, spread, take_turns
from under_gunicorn import Gunicorn

HERE = Path(__file__).parent

STARTUP, MEMORY = "startup, s", "memory, MB"
TARGETS = {"page 404": 1.0, "API 404": 1.0, "healthy page": 1.15}
"""CPU time of the service divided by that of bare Flask, at most."""
SPEED = 0.95
"""Requests per second of the service divided by those of bare Flask, at least."""

STARTS = 8
"""Number of times that each contestant is started, in process and under Gunicorn."""
ROUNDS = 6
"""Number of rounds of each case after a start."""

HEADER = """
{versions}. Median of {rounds} rounds (middle half).

In process: CPU time of the WSGI call divided by that of bare Flask; less is better. Startup: CPU time from the first
import to the first response. Memory: resident set after the first response.
"""


class Contestant(NamedTuple):
    """An application: its name in the table, the project whose environment it runs in, a function of contestants.py."""

    name: str
    project: Path
    function: str


class Process:
    """A contestant in ``in_process.py``. A context manager, which ends it."""

    def __init__(self, contestant: Contestant) -> None:
        self.name = contestant.name
        self.child = subprocess.Popen(
            [contestant.project / ".venv/bin/python", HERE / "in_process.py", contestant.function],
            cwd=contestant.project,
            env=environment(SECRET_KEY="benchmark"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.startup = self._read()
        self.memory = self._read() / 1024

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.communicate()

    def seconds(self, case: Case) -> float:
        """Return the CPU time of a request in seconds, the mean of one round."""
        assert self.child.stdin is not None
        print(json.dumps(case), file=self.child.stdin, flush=True)
        return self._read()

    def _read(self) -> float:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        try:
            return float(line)
        except ValueError:
            raise RuntimeError(f"{self.name}: {line.strip() or 'ended'}") from None


def main() -> None:
    print("About three minutes ...", file=sys.stderr)
    with TemporaryDirectory() as name:
        project = install(Path(name) / "new")
        contestants = [Contestant("bare", project, "bare"), Contestant("service", project, "service")]
        if revision := "".join(sys.argv[1:2]):
            contestants.append(Contestant(revision, install(Path(name) / "revision", revision), "service"))
        print(HEADER.format(versions=versions(project, "Flask", "gunicorn"), rounds=STARTS * ROUNDS))
        print(*in_process_lines(in_process(contestants)), sep="\n")
        print(*gunicorn_lines(under_gunicorn(contestants)), sep="\n")


def in_process(contestants: list[Contestant]) -> dict[str, list[Round]]:
    """Measure all cases, startup and memory."""
    results: dict[str, list[Round]] = {name: [] for name in (*(case.name for case in CASES), STARTUP, MEMORY)}
    for _ in range(STARTS):  # the memory layout makes one process a few percent faster than the next
        with ExitStack() as stack:
            running = [stack.enter_context(Process(contestant)) for contestant in contestants]
            results[STARTUP].append({process.name: process.startup for process in running})
            results[MEMORY].append({process.name: process.memory for process in running})
            for case in CASES:
                turns: Mapping[str, Callable[[], float]] = {
                    process.name: partial(process.seconds, case) for process in running
                }
                results[case.name] += take_turns(turns, ROUNDS)
    return results


def under_gunicorn(contestants: list[Contestant]) -> list[Round]:
    """Measure the seconds per page 404 under full load. All use the project's ``gunicorn.conf.py`` and access log."""
    rounds: list[Round] = []
    for _ in range(STARTS):
        with ExitStack() as stack:
            turns = {}
            for name, project, function in contestants:
                gunicorn = Gunicorn(
                    project / ".venv/bin/gunicorn",
                    f"contestants:{function}()",
                    folder=project,
                    log=project / f"{name}.log",
                    environment=environment(SECRET_KEY="benchmark", PYTHONPATH=str(HERE)),
                )
                turns[name] = partial(stack.enter_context(gunicorn).seconds, CASES[0])
            rounds += take_turns(turns, ROUNDS)
    return rounds


def in_process_lines(results: Mapping[str, list[Round]]) -> Iterator[str]:
    for name, rounds in results.items():
        ratios = {other: [values[other] / values["bare"] for values in rounds] for other in sorted(rounds[0])}
        cells = "".join(f"{other} {spread(ratios[other]):<20}" for other in ratios if other != "bare")
        medians = ", ".join(f"{other} {statistics.median(each[other] for each in rounds):.2f}" for other in ratios)
        note = medians if name in (STARTUP, MEMORY) else at_most(ratios["service"], TARGETS.get(name))
        yield f"  {name:<15}{cells}{note}".rstrip()


def gunicorn_lines(rounds: list[Round]) -> Iterator[str]:
    yield "\nUnder Gunicorn: requests per second of a page 404 divided by those of bare Flask; more is better"
    for name in sorted(rounds[0].keys() - {"bare"}):
        ratios = [values["bare"] / values[name] for values in rounds]
        yield f"  {name:<15}{spread(ratios):<21}{at_least(ratios, SPEED) if name == 'service' else ''}".rstrip()


if __name__ == "__main__":
    main()
