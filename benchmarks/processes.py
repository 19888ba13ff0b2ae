"""A server process measured from outside: time until it is ready, CPU time, memory. Linux only."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """A running server on the loopback interface. ready_seconds: from start to the first answer 200."""

    pid: int
    port: int
    ready_seconds: float

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, in nanosecond resolution."""
        return time.clock_gettime((~self.pid << 3) | 2)  # the clock that clock_getcpuclockid(3) names

    def megabytes(self, field: str = "VmRSS") -> float:
        """See `megabytes`."""
        return megabytes(field, self.pid)


def megabytes(field: str = "VmRSS", pid: int | str = "self") -> float:
    """Memory by a field of /proc/PID/status: VmRSS is all that is resident, RssFile the mapped files in it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


@contextmanager
def server(arguments: Sequence[str], *, ready: str, **variables: str) -> Iterator[Server]:
    """``python ARGUMENTS --port FREE`` until the block ends.

    Args:
        arguments: of the interpreter.
        ready: path that answers 200 once the server is ready.
        variables: added to the environment.

    Raises:
        RuntimeError: it ended, or was not ready within a minute; with what it wrote.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *arguments, "--port", str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, **variables})  # noqa: S603
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.perf_counter() - started > 60:
                process.kill()
                raise RuntimeError(f"{' '.join(command)} is not ready:\n{process.communicate()[1].decode()}")
            time.sleep(0.01)
        yield Server(process.pid, port, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
