"""Disks to fill and to break, which needs root, or a sudo that asks for no password."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .conftest import need
from .servers import TIMEOUT
from .service import Service


def as_root(*command: str) -> list[str]:
    return [*command] if os.geteuid() == 0 else ["sudo", "--non-interactive", *command]


def need_root() -> None:
    can = os.geteuid() == 0 or (shutil.which("sudo") and subprocess.call(as_root("true")) == 0)
    need(can, "Disks are broken by root: run this as root, or let sudo ask for no password")


def run(*command: str, given: str = "") -> str:
    """What a command prints that root has to run."""
    done = subprocess.run(as_root(*command), input=given, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Disk:
    """8 MB of ext4 in a file, within a ``with``. The service may write to ``folder``."""

    def __init__(self, parent: Path) -> None:
        need_root()
        need(Path("/dev/loop-control").exists(), "Loop devices are missing: run this on Linux")
        self.folder = parent / "disk"
        self.folder.mkdir()
        self._image = parent / "disk.img"
        self._ballast = self.folder / "ballast"

    def __enter__(self) -> "Disk":
        with self._image.open("wb") as image:
            image.truncate(8 * 1024 * 1024)
        run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        self._mount()
        run("chmod", "777", str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Until there is no room for a single byte."""
        with self._ballast.open("wb", buffering=0) as ballast:
            for size in (65536, 1024):
                with suppress(OSError):
                    while ballast.write(bytes(size)):
                        os.fsync(ballast.fileno())  # only then is it known how much room it takes

    def make_room(self) -> None:
        self._ballast.unlink()

    def fail(self) -> None:
        """Let the filesystem find an error in itself. As /etc/fstab says of most, nothing can be written then."""
        device = Path(run("findmnt", "--noheadings", "--output=SOURCE", str(self.folder))).name
        run("tee", f"/sys/fs/ext4/{device}/trigger_fs_error", given="1")

    def replace(self) -> None:
        """Take it out and put it back in, as a restart of the machine would. Nobody may use it."""
        run("umount", str(self.folder))
        self._mount()

    def _mount(self) -> None:
        run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.folder))


@contextmanager
def failing_calls(service: Service, calls: str, file: Path) -> Iterator[None]:
    """These system calls of the worker end with EIO where they concern this file."""
    need_root()
    need(shutil.which("strace"), "strace is missing: apt-get install strace")
    (worker,) = service.workers()
    injection = ["-P", str(file), "-e", f"inject={calls}:error=EIO", "-o", "/dev/null"]
    command = as_root("strace", "--follow-forks", "--attach", str(worker), *injection)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr
        assert any("attached" in line for line in strace.stderr), "strace cannot trace this process"
        try:
            yield
        finally:
            run("kill", "-INT", str(strace.pid))
            strace.communicate(timeout=TIMEOUT)
