"""Connections to PostgreSQL that nobody waits for longer than the request may take.

A server may hang while its kernel still acknowledges. Then neither its own timeouts nor those of TCP end the wait.
"""

import math
from collections.abc import Generator
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

import psycopg

from . import deadline

T = TypeVar("T")

CANCELLING = 1.0
"""Seconds that the server has to take note that its answer is no longer wanted."""


class Connection(psycopg.Connection[Any]):
    """Closes itself when the deadline passes while it waits."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """As of psycopg, which asks ``gen`` ten times a second whether to go on.

        :raises OperationalError: the deadline has passed.
        """
        moment = deadline.moment()
        return super().wait(gen if moment == math.inf else self._until(moment, gen), *args, **kwargs)

    def _until(self, moment: float, waiting: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if not ready and monotonic() > moment:
                    self._give_up()
                wanted = waiting.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _give_up(self) -> None:
        with suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCELLING)  # otherwise the statement, and its locks, would go on without us
        self.close()
        raise psycopg.OperationalError("the server has not answered within the deadline of the request")


def connect(_: object, __: object, args: tuple[Any, ...], options: dict[str, Any]) -> Connection:
    """For the event ``do_connect`` of an engine. A connection has 2 seconds at least, as libpq has it.

    :raises DeadlineError: it is too late for a connection.
    """
    deadline.check()
    seconds = math.ceil(deadline.left(options["connect_timeout"]))
    return Connection.connect(*args, **{**options, "connect_timeout": seconds})
