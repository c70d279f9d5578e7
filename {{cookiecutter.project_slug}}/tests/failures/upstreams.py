"""Another system, which answers as it is told to, or not at all."""

import socket
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Self

from .servers import TIMEOUT

Behaviour = Callable[[socket.socket, Event], None]
"""What is done with a connection whose request has been read. The event says that it is to end."""


class Upstream:
    """A server on a free port of 127.0.0.1, within a ``with``. It closes each connection after one answer.

    :param behave: how it answers.
    :param wrap: what each connection is wrapped in first, such as TLS.
    """

    def __init__(self, behave: Behaviour, wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> None:
        self.behave = behave
        self.wrap = wrap
        self.requests: list[bytes] = []
        self._ended = Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(TIMEOUT)
            Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self.wrap(plain) as connection:
                self.requests.append(_read_request(connection))
                self.behave(connection, self._ended)
        except OSError:  # the service has gone: that is its right
            plain.close()


def _read_request(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request:
        received = connection.recv(65536)
        if not received:
            break
        request += received
    return request


def answer(status: str, *headers: str, body: bytes = b"") -> Behaviour:
    """One that is whole."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return say("\r\n".join([*lines, "", ""]).encode() + body)


def say(*parts: bytes) -> Behaviour:
    """These bytes, and then the end of the connection."""

    def behave(connection: socket.socket, _: Event) -> None:
        for part in parts:
            connection.sendall(part)

    return behave


def hang(_: socket.socket, ended: Event) -> None:
    """Nothing, while the connection stays."""
    ended.wait(TIMEOUT)


def trickle(start: bytes, again: bytes, pause: float = 0.2) -> Behaviour:
    """A beginning, and then the same bytes again and again: slowly, or without a pause."""

    def behave(connection: socket.socket, ended: Event) -> None:
        deadline = time.monotonic() + TIMEOUT
        connection.sendall(start)
        while time.monotonic() < deadline and not ended.wait(pause):
            connection.sendall(again)

    return behave
