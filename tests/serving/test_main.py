"""The process: its command line, its environment, what it imports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from serving.__main__ import main
from serving.settings import VARIABLES, Settings, SettingsError, settings_from
from tests.serving.shelves import put_shelf

FORBIDDEN = ("pandas", "pyarrow", "sklearn", "implicit", "matplotlib", "typer", "mlflow", "training")


def test_an_application_over_a_bundle_imports_neither_training_nor_mlflow(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "import serving.__main__\n"
        "from serving.app import create_app; from serving.settings import Settings\n"
        f"bundle, home = Path({str(put_shelf(tmp_path / 'b', ['comb']))!r}), Path({str(tmp_path / 'home')!r})\n"
        "app = create_app(Settings(home=home, bundles=(bundle,)))\n"
        "app.openapi()\n"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert found.stdout.strip() == "[]"


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for flag in ("--host", "--port", "--workers", "--bundle", "examples:"):
        assert flag in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "0"], "not a number of processes"),
        (["--port", "http"], "--port"),
        (["--bundle", "no/such/folder"], "no such folder"),
        (["--host", "0.0.0.0"], "SEGUE_KEYS_FILE"),  # noqa: S104
        (["--host", "shop.example"], "SEGUE_KEYS_FILE"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SEGUE_POLL_SECONDS", "soon"), ("SEGUE_BODY_LIMIT", "-1"), ("SEGUE_KEYS_FILE", "/no/such/file")],
)
def test_a_setting_that_cannot_be_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setattr(os, "environ", {variable: value})
    assert main([]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert value in line


def test_a_port_of_somebody_else_ends_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", {"SEGUE_HOME": str(tmp_path)})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    assert f"127.0.0.1 port {port} (Address already in use); name another with --port" in capsys.readouterr().err


def test_settings_are_read_from_the_environment() -> None:
    assert settings_from({}) == Settings()
    assert settings_from({"SEGUE_HOME": ""}) == Settings()
    found = settings_from(
        {
            "SEGUE_HOME": "/srv",
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
            "SEGUE_BUNDLES": os.pathsep.join(["a b", "c"]),
            "SEGUE_POLL_SECONDS": "0.5",
            "SEGUE_ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "PATH": "/bin",
        }
    )
    assert found == Settings(
        home=Path("/srv"),
        tracking_uri="http://mlflow:5000",
        bundles=(Path("a b"), Path("c")),
        poll_seconds=0.5,
        allowed_origins=("https://a.example", "https://b.example"),
    )
    with pytest.raises(SettingsError, match="SEGUE_RATE_LIMIT='fast'"):
        settings_from({"SEGUE_RATE_LIMIT": "fast"})


def test_every_setting_has_a_variable() -> None:
    assert set(VARIABLES.values()) == set(Settings.model_fields)
