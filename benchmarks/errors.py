"""What good errors cost: the default project beside bare Flask and beside the handlers of Flask's documentation.

    uv run python benchmarks/errors.py

It bakes the project into a temporary folder, installs it with uv, and measures the three applications of
``contestants.py`` in that one environment:

- in process, the CPU time of a request: the WSGI call, from the prepared environment to the closed body;
- start-up: from the first import in a fresh process to the first answer;
- under gunicorn, the time of a request at full load: the inverse of the requests per second;
- memory: the resident set of the gunicorn worker after that load.

All import the packages that the service needs for its data, see ``contestants.DATA``: this is about errors.

In each round the applications take turns, so that noise of the machine hits all alike. What is printed are ratios
within a round, service to other: their median, and the middle half of them. Nothing is asserted: the exit status is 0
however slow. For Linux; it takes about two minutes.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from in_process import CASES, Case
from project import environment, install, versions
from ratios import Round, at_most, spread, take_turns
from under_gunicorn import Gunicorn

HERE = Path(__file__).parent

CONTESTANTS = ("service", "bare", "documentation")
IN_PROCESS, UNDER_GUNICORN = "In process", "Under gunicorn"
TARGETS = {
    (IN_PROCESS, "page 404"): 1.0,
    (IN_PROCESS, "API 404"): 1.0,
    (IN_PROCESS, "healthy page"): 1.15,
    (UNDER_GUNICORN, "memory"): 1.5,
}
"""The service to bare Flask, at most."""

STARTS = 8
"""How often each contestant is started, in process and under gunicorn."""
ROUNDS = 6
"""How often it is then measured in each case."""

HEADER = """
Errors of the service, as ratios to bare Flask and to the handlers of Flask's documentation: 1.00 is the same, less is
better. The median of {rounds} rounds (and the middle half of them). {versions}.

In process: CPU time of the WSGI call. Under gunicorn: time of a request at full load, with one worker of 4 threads
and 4 connections kept alive. All log crashes and access, the service as JSON, the others as Flask and gunicorn do.
Start-up: first import to first answer. Memory: resident set (RSS) of the worker after that load. All import the
packages of the service's database, limits, blog and API; only the service has these.

                         to bare Flask        target           to documentation"""


class Result(NamedTuple):
    name: str
    rounds: list[Round]

    def ratios(self, other: str) -> list[float]:
        """The service to another contestant, round by round."""
        return [values["service"] / values[other] for values in self.rounds]


def main() -> None:
    print("About two minutes ...", file=sys.stderr)
    with TemporaryDirectory() as name:
        folder = Path(name)
        project = install(folder)
        about = versions(project, "Flask", "gunicorn")
        sections = {IN_PROCESS: in_process(project, folder), UNDER_GUNICORN: under_gunicorn(project, folder)}
    print(HEADER.format(rounds=STARTS * ROUNDS, versions=about), *lines(sections), sep="\n")


# The measurements


class Process:
    """A contestant in ``in_process.py``. A context manager, which ends it."""

    def __init__(self, project: Path, folder: Path, contestant: str) -> None:
        self.contestant = contestant
        self.child = subprocess.Popen(
            [project / ".venv/bin/python", HERE / "in_process.py", contestant],
            cwd=folder,  # the service makes its folder for SQLite in it
            env=environment(SECRET_KEY="benchmark"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.start_up = self._read()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.communicate()

    def seconds(self, case: Case) -> float:
        """Seconds of CPU time per request, the mean of one round."""
        assert self.child.stdin is not None
        print(json.dumps(case), file=self.child.stdin, flush=True)
        return self._read()

    def _read(self) -> float:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        try:
            return float(line)
        except ValueError:
            raise RuntimeError(f"{self.contestant}: {line.strip() or 'ended'}") from None


def in_process(project: Path, folder: Path) -> list[Result]:
    return measure(partial(Process, project, folder), "start-up", lambda process: process.start_up)


def under_gunicorn(project: Path, folder: Path) -> list[Result]:
    def start(contestant: str) -> Gunicorn:
        return Gunicorn(
            project / ".venv/bin/gunicorn",
            f"contestants:{contestant}()",
            folder=project if contestant == "service" else folder,  # the service brings its gunicorn.conf.py
            log=folder / f"{contestant}.log",
            environment=environment(SECRET_KEY="benchmark", PYTHONPATH=str(HERE)),
        )

    return measure(start, "memory", Gunicorn.memory)


Running = TypeVar("Running", Process, Gunicorn)


def measure(start: Callable[[str], Running], once: str, measure_once: Callable[[Running], float]) -> list[Result]:
    """All cases, and what is measured once of each process.

    The processes are started several times: the layout of its memory makes one a few percent faster than the next.
    """
    results = {name: Result(name, []) for name in (*(case.name for case in CASES), once)}
    for _ in range(STARTS):
        with ExitStack() as stack:
            running = {name: stack.enter_context(start(name)) for name in CONTESTANTS}
            for case in CASES:
                turns = {name: partial(process.seconds, case) for name, process in running.items()}
                results[case.name].rounds.extend(take_turns(turns, ROUNDS))
            results[once].rounds.append({name: measure_once(process) for name, process in running.items()})
    return list(results.values())


# The table


def lines(sections: Mapping[str, list[Result]]) -> Iterator[str]:
    for title, results in sections.items():
        yield title
        for result in results:
            bare, documentation = result.ratios("bare"), result.ratios("documentation")
            verdict = at_most(bare, TARGETS.get((title, result.name)))
            yield f"  {result.name:<23}{spread(bare):<21}{verdict:<17}{spread(documentation)}"


if __name__ == "__main__":
    main()
