"""Run one contestant under Gunicorn, under load."""

import re
import selectors
import socket
import subprocess
import time
from pathlib import Path

from in_process import Case

TIMEOUT = 120
"""Seconds to wait for Gunicorn."""

SECONDS = 0.1
"""Length of a round in seconds."""
CONNECTIONS = 4
OPTIONS = ("--worker-class", "gthread", "--workers", "1", "--threads", "4", "--keep-alive", "75")
"""For all contestants. One worker, so that the client has the other core of a small machine."""
PLAIN_LOG = ("--access-logfile", "-", "--no-control-socket")
"""For contestants without a ``gunicorn.conf.py``: an access log."""

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Gunicorn:
    """Gunicorn on a free port of 127.0.0.1. A context manager, which ends it.

    :param program: the executable.
    :param application: the application, such as ``module:factory()``.
    :param folder: the working directory; a ``gunicorn.conf.py`` in it is used.
    :param log: the log file.
    """

    def __init__(self, program: Path, application: str, folder: Path, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        own_log = () if (folder / "gunicorn.conf.py").exists() else PLAIN_LOG
        with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as file:
            self.address = listener.getsockname()
            bind = ("--bind", f"fd://{listener.fileno()}")
            self.master = subprocess.Popen(
                [program, *bind, *OPTIONS, *own_log, application],
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=file,
                pass_fds=[listener.fileno()],
            )

    def __enter__(self) -> "Gunicorn":
        return self

    def __exit__(self, *_: object) -> None:
        self.master.terminate()
        self.master.wait(TIMEOUT)

    def seconds(self, case: Case) -> float:
        """Return the seconds per request, on connections that are kept busy for one round.

        :raises RuntimeError: if a response has another status or is missing.
        """
        connections = [Connection(self.address) for _ in range(CONNECTIONS)]
        try:
            return load(connections, case)
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{error}\n{self.log.read_text()[-2000:]}") from error
        finally:
            for connection in connections:
                connection.socket.close()


class Connection:
    """A connection that is kept alive, and the part of the response that was received."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, TIMEOUT)
        self.received = b""

    def send(self, case: Case) -> None:
        self.received = b""
        self.socket.sendall(case.message())

    def is_complete(self, case: Case) -> bool:
        """Read from the connection. Return whether the response is complete.

        :raises ValueError: if it has another status or ends early.
        """
        chunk = self.socket.recv(65536)
        self.received += chunk
        if not chunk or not self.received.startswith(b"HTTP/1.1 %d " % case.status):
            raise ValueError(f"{case.name} got the response {self.received!r}")
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head + b"\r\n")
        return bool(end) and length is not None and len(body) >= int(length[1])


def load(connections: list[Connection], case: Case) -> float:
    """Send requests on all connections for one round. Return the seconds per request."""
    responses, start = 0, time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(case)
        while selector.get_map():
            ready = selector.select(TIMEOUT)
            if not ready:
                raise TimeoutError(f"{case.name}: no response")
            for key, _ in ready:
                if not key.data.is_complete(case):
                    continue
                responses += 1
                if time.perf_counter() - start < SECONDS:
                    key.data.send(case)
                else:
                    selector.unregister(key.fileobj)
    return (time.perf_counter() - start) / responses
