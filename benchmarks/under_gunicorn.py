"""One contestant under gunicorn, and the load on it."""

import re
import selectors
import socket
import subprocess
import time
from pathlib import Path

from in_process import Case

TIMEOUT = 30
"""Seconds after which something hangs. A bound, never a measure."""

SECONDS = 0.1
"""Length of a round."""
CONNECTIONS = 4
OPTIONS = ("--worker-class", "gthread", "--workers", "1", "--threads", "4", "--keep-alive", "75")
"""For all contestants. One worker, so that the load has the other core of a small machine."""
PLAIN_LOG = ("--access-logfile", "-", "--no-control-socket")
"""For those without a ``gunicorn.conf.py``: an access log as well."""

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Gunicorn:
    """A gunicorn on a free port of 127.0.0.1, ended with the ``with`` block.

    :param program: the executable.
    :param application: what to serve, such as ``module:factory()``.
    :param folder: to start in; a ``gunicorn.conf.py`` there is used.
    :param log: the file that takes all it logs.
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
        """Seconds per request: the inverse of the requests per second, on connections that are kept busy for one round.

        :raises RuntimeError: an answer has another status, or there is none.
        """
        connections = [Connection(self.address) for _ in range(CONNECTIONS)]
        try:
            return load(connections, case)
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{error}\n{self.log.read_text()[-2000:]}") from error
        finally:
            for connection in connections:
                connection.socket.close()

    def memory(self) -> int:
        """The resident set of the worker in kB, from ``/proc/PID/smaps_rollup`` (proc_pid_smaps(5))."""
        master = self.master.pid
        (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        rollup = Path(f"/proc/{worker}/smaps_rollup").read_text()
        return int(rollup.partition("Rss:")[2].split()[0])


class Connection:
    """A connection that is kept alive, and what has come of the answer."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, TIMEOUT)
        self.received = b""

    def ask(self, case: Case) -> None:
        self.received = b""
        self.socket.sendall(case.message())

    def is_answered(self, case: Case) -> bool:
        """Read on. True once the answer is complete.

        :raises ValueError: it has another status, or ends early.
        """
        chunk = self.socket.recv(65536)
        self.received += chunk
        if not chunk or not self.received.startswith(b"HTTP/1.1 %d " % case.status):
            raise ValueError(f"{case.name} is answered with {self.received!r}")
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(head + b"\r\n")
        return bool(end) and length is not None and len(body) >= int(length[1])


def load(connections: list[Connection], case: Case) -> float:
    """Ask on all connections for one round. Seconds per request."""
    answers, start = 0, time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.ask(case)
        while selector.get_map():
            ready = selector.select(TIMEOUT)
            if not ready:
                raise TimeoutError(f"{case.name} is not answered")
            for key, _ in ready:
                if not key.data.is_answered(case):
                    continue
                answers += 1
                if time.perf_counter() - start < SECONDS:
                    key.data.ask(case)
                else:
                    selector.unregister(key.fileobj)
    return (time.perf_counter() - start) / answers
