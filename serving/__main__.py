"""``python -m serving``: the HTTP service, without the training packages."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

_DESCRIPTION = (
    "Serve recommendations over HTTP, from the champion of the model registry or straight from a bundle folder."
)

_EPILOG = """\
examples:
  python -m serving                                   follow the champion in mlruns/mlflow.db
  python -m serving --bundle var/bundles/recommender  serve one bundle, without MLflow
  SEGUE_KEYS_FILE=keys.toml python -m serving --host 0.0.0.0 --workers 4

Everything else is set by environment variables: see docs/http.md.
"""

#: An idle connection stays open longer than load balancers keep theirs, so that none is closed under a request.
KEEP_ALIVE_SECONDS = 75

#: One thread for each worker: an answer is too short to share out, and threads that wait would spin on the other cores.
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped. Returns the exit code: 0 stopped, 1 failed, 2 wrong usage."""
    parser = _parser()
    given = parser.parse_args(arguments)
    for bundle in given.bundle:
        if not bundle.is_dir():
            parser.error(f"--bundle {bundle}: no such folder")

    for variable in _SINGLE_THREADED:
        os.environ.setdefault(variable, "1")
    if given.bundle:
        os.environ["SEGUE_BUNDLES"] = os.pathsep.join(str(bundle) for bundle in given.bundle)
    with ExitStack() as stack:
        if given.workers > 1:  # must be set before prometheus_client is imported, here and in the workers
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        return _serve(parser, given)


def _serve(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    # Imported here: NumPy and Prometheus read the environment when they are imported.
    import uvicorn

    from features.store.base import StoreError
    from serving.app import create_app
    from serving.keys import KeysError
    from serving.origins import OriginError
    from serving.settings import SettingsError, settings_from

    try:
        settings = settings_from(os.environ)
        if settings.keys_file is None and not _is_loopback(given.host):
            parser.error(
                f"--host {given.host} would let anyone on the network ask: set SEGUE_KEYS_FILE to a file of keys "
                "(docs/http.md), or keep to 127.0.0.1"
            )
        app = create_app(settings)  # here, so that a fault is told in one line, and not by every worker
        _check_free(given.host, given.port)
    except (SettingsError, KeysError, OriginError, StoreError, OSError) as error:
        print(f"segue serve: {error}", file=sys.stderr)
        return 1
    uvicorn.run(
        app if given.workers == 1 else "serving.app:from_environment",
        factory=given.workers > 1,
        host=given.host,
        port=given.port,
        workers=given.workers,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        log_config=_logging(),
    )
    return 0


def _check_free(host: str, port: int) -> None:
    """Somebody else's port is told before anything is tidied up.

    Raises:
        OSError: nothing can listen there.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]  # Python names the address once more
        raise OSError(f"nothing can listen on {host} port {port} ({why}); name another with --port") from None


def _logging() -> dict[str, Any]:
    """What uvicorn writes to standard error, and beside it what this package has to say."""
    from uvicorn.config import LOGGING_CONFIG

    loggers = {**LOGGING_CONFIG["loggers"], "serving": {"handlers": ["default"], "level": "INFO", "propagate": False}}
    return {**LOGGING_CONFIG, "loggers": loggers}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument("--workers", type=_positive, default=1, help="processes that answer (default: %(default)s)")
    parser.add_argument(
        "--bundle",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="serve this bundle folder and ask no registry",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number of processes")
    return number


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
