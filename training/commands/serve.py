"""``segue serve``: the API. The same as ``python -m serving``, which needs nothing of the training packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs API keys.", metavar="H")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535, metavar="P")] = 8000,
    workers: Annotated[int, typer.Option(help="Number of processes.", min=1, metavar="N")] = 1,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(
            help="Serve from a bundle folder instead of the champion in MLflow. May be repeated.", metavar="DIR"
        ),
    ] = None,
) -> None:
    """Answer over HTTP from the champion in MLflow, or straight from bundle folders.

    Replaces this process by python -m serving with the same options.
    """
    arguments = serving_arguments(host=host, port=port, workers=workers, bundles=bundle or [])
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606  # no shell on purpose: arguments stay what they are


def serving_arguments(*, host: str, port: int, workers: int, bundles: list[Path]) -> list[str]:
    """Arguments of the interpreter that start the API."""
    options = ["--host", host, "--port", str(port), "--workers", str(workers)]
    for bundle in bundles:
        options += ["--bundle", str(bundle)]
    return ["-m", "serving", *options]


def add_to(app: typer.Typer) -> None:
    """Make it a command."""
    app.command(epilog="Examples:\n\nsegue serve --port 8080\n\nsegue serve --bundle var/bundles/today")(serve)
