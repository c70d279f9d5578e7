"""An external debugger: debugpy, as VS Code starts it, and a client that speaks to it as an editor does.

https://microsoft.github.io/debug-adapter-protocol/specification
"""

import json
import socket
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from service import TIMEOUT

FOUND = find_spec("debugpy")
DEBUGPY = Path(FOUND.origin).parent if FOUND and FOUND.origin else None
"""Its folder, which Python runs as a program: nothing of it has to be installed where the service is."""


class Editor:
    """A client of the Debug Adapter Protocol, attached to the debugger on a port of 127.0.0.1, within a ``with``.

    :param stop_at: the exceptions it stops at, by debugpy's name of a filter.
    :param just_my_code: leave out what is in libraries, as editors do unless they are told otherwise.
    """

    def __init__(self, port: int, stop_at: str, just_my_code: bool) -> None:
        self.port, self.stop_at, self.just_my_code = port, stop_at, just_my_code
        self.waiting: list[dict[str, Any]] = []
        self.number = 0

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.connection = undo.enter_context(self._connect())
            self.stream = undo.enter_context(self.connection.makefile("rb"))
            self.ask("initialize", adapterID="test")
            attaching = self._send("attach", justMyCode=self.just_my_code)  # answered when all is configured
            self.event("initialized")
            self.ask("setExceptionBreakpoints", filters=[self.stop_at])
            self.ask("configurationDone")
            self._answer(attaching)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def ask(self, command: str, **arguments: Any) -> Any:
        """The body of the answer to a request."""
        return self._answer(self._send(command, **arguments))

    def event(self, name: str) -> Any:
        """The body of the next event of this name."""
        return self._next(type="event", event=name).get("body")

    def _send(self, command: str, **arguments: Any) -> int:
        self.number += 1
        message = {"seq": self.number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(message).encode()
        self.connection.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self.number

    def _answer(self, number: int) -> Any:
        answer = self._next(type="response", request_seq=number)
        if not answer["success"]:
            raise RuntimeError(f"the debugger refuses: {answer}")
        return answer.get("body")

    def _next(self, **wanted: object) -> dict[str, Any]:
        """The next message with these fields. Others wait until they are asked for."""
        while True:
            for message in self.waiting:
                if wanted.items() <= message.items():
                    self.waiting.remove(message)
                    return message
            self.waiting.append(self._receive())

    def _receive(self) -> dict[str, Any]:
        length = 0
        while line := self.stream.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            raise ConnectionError("the debugger has gone")
        return json.loads(self.stream.read(length))
