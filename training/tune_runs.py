"""Runs in MLflow that come in families, one parent and a child a trial; and numbers added to a run that is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from training.tracking import LONGEST_PARAMETER, Tracking, TrackingError, is_finite, metric_name, quiet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TUNING = "segue-tuning"
End = Literal["FINISHED", "FAILED", "KILLED"]


class Runs(Tracking):
    """A tracking server, for runs that are not written in one go."""

    @staticmethod
    def of(tracking: Tracking) -> Runs:
        """The same server."""
        return Runs(tracking.uri, tracking._client)

    def add_metrics(self, run: str, metrics: Mapping[str, float]) -> None:
        """More metrics for a run, by our names (``ndcg@10``)."""
        with quiet():
            self._log(run, {}, {name: value for name, value in metrics.items() if is_finite(value)})

    def family(self, name: str, parameters: Mapping[str, Any], *, known: str | None) -> str:
        """The parent run: that with the id ``known``, open again, or where there is none a new one. Returns its id."""
        with quiet():
            if known is not None and self._reopened(known):
                return known
            tags = {"mlflow.runName": name}
            run = str(self._client.create_run(self._experiment(TUNING), tags=tags, run_name=name).info.run_id)
            self._log(run, parameters, {})
        return run

    def child(
        self,
        parent: str,
        name: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        end: End,
        *,
        why: str = "",
    ) -> str:
        """One trial: a run below the parent, over as it is written. ``why`` it failed. Returns its id."""
        tags = {"mlflow.parentRunId": parent, "mlflow.runName": name} | (
            {"why": why[:LONGEST_PARAMETER]} if why else {}
        )
        with quiet():
            run = str(self._client.create_run(self._experiment(TUNING), tags=tags, run_name=name).info.run_id)
            self._log(run, parameters, {name: value for name, value in metrics.items() if is_finite(value)})
            self._client.set_terminated(run, status=end)
        return run

    def step(self, run: str, name: str, value: float, step: int) -> None:
        """One point of a curve."""
        with quiet():
            self._client.log_metric(run, metric_name(name), value, step=step)

    def close(
        self,
        run: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, Any],
        plots: Mapping[str, Figure],
        documents: Mapping[str, str],
        result: Mapping[str, Any],
        end: End = "FINISHED",
    ) -> None:
        """The end of a family: what came out of it, ``result`` as ``tuning.json``.

        What may be another when it goes on is told in tags: parameters of MLflow stay what they are.
        """
        self.add_metrics(run, metrics)
        with quiet():
            for name, value in tags.items():
                self._client.set_tag(run, name, str(value)[:LONGEST_PARAMETER])
            for file, figure in plots.items():
                self._client.log_figure(run, figure, f"plots/{file}")
            for file, text in documents.items():
                self._client.log_text(run, text, file)
            self._client.log_dict(run, dict(result), "tuning.json")
            self._client.set_terminated(run, status=end)

    def _reopened(self, run: str) -> bool:
        """Whether there is such a run; then it runs again."""
        try:
            with quiet():
                self._client.update_run(run, status="RUNNING")
        except TrackingError:
            return False
        return True
