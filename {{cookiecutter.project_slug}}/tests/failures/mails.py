"""A mail server that keeps what it gets."""

import email
import socket
import subprocess
import sys
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from .servers import TIMEOUT, free_port, wait_for


class MailServer:
    """smtpd.py on a free port of 127.0.0.1.

    :param certificate: with its key, in one file. Then only the user of ``login_url`` may send.
    """

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self.login_url = f"smtp://me:p%40ss@localhost:{self.port}"
        self._folder = folder / f"mails-{self.port}"
        self._folder.mkdir()
        program = str(Path(__file__).with_name("smtpd.py"))
        command = [sys.executable, program, str(self.port), str(self._folder)]
        command += [str(certificate)] if certificate else []
        with (folder / "smtpd").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._is_up, "the mail server")

    def mails(self) -> list[EmailMessage]:
        """Those that came, the oldest first."""
        files = sorted(self._folder.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), EmailMessage, policy=default) for file in files]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT)

    def _is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT).close()
        except OSError:
            return False
        return True
