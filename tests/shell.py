"""The command line, run in the test's own process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from training.cli import main


class Shell:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = self._capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int)
        return code, captured.out, captured.err

    def json(self, *arguments: object) -> dict[str, Any]:
        """What a command that succeeds prints with --json: one object and nothing else."""
        code, out, err = self.run(*arguments, "--json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    def refusal(self, *arguments: object, status: int = 1) -> str:
        """The one line of a command that fails."""
        code, out, err = self.run(*arguments)
        assert (code, out) == (status, "")
        assert err.count("\n") == 1, err
        return err
