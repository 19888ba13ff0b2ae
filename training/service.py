"""The API as a child process: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: Seconds a stopped server gets to finish what it is answering.
GRACE = 10.0


class ServiceError(Exception):
    """The API could not be started; the message says why."""


def check_port(port: int) -> None:
    """Fail now rather than after a training.

    Raises:
        ServiceError: something listens on that port of this machine already.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServiceError(
                f"port {port} is taken ({error.strerror}); stop what uses it, or choose another with --port"
            ) from error


@contextmanager
def running(arguments: Sequence[str], **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """``python ARGUMENTS`` with some environment variables while the block runs.

    Its output goes to standard error, and it is stopped at the end. It gets a session of its own, so that Ctrl-C
    reaches this process alone, which then stops it in good order.
    """
    child = subprocess.Popen(  # noqa: S603
        [sys.executable, *arguments],
        stdout=sys.stderr.fileno(),
        start_new_session=True,
        env={**os.environ, **variables},
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def wait_until_ready(address: str, child: subprocess.Popen[bytes], *, seconds: float) -> None:
    """Return when ``/health/ready`` answers 200.

    Raises:
        ServiceError: the process ended, or was not ready in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ServiceError(f"the service ended with status {child.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=5):  # noqa: S310  # our own address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ServiceError(f"the service was not ready after {seconds:.0f} seconds")


@contextmanager
def stop_on_terminate() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does, so that both leave through the same door."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
