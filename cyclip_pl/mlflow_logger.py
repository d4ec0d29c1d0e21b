"""MLflow, in which a resumed run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import loggers
from lightning.pytorch.utilities import rank_zero_only

from cyclip_pl.checkpoints.resume import leaves
from cyclip_pl.signals import is_first_rank

_TAG = "cyclip_pl.run_id"
_LOCAL = "sqlite:///"
_LONGEST = 250  # characters of a value; Lightning cuts there


class MLFlowLogger(loggers.MLFlowLogger):
    """Lightning's, with a run that is found again by the run's own name.

    MLflow keeps the first value of each hyper-parameter. Where a resumed run has another one, a tag
    with the name of the setting has it.

    Args:
        tracking_uri: A server, or `sqlite:///FILE`, whose artifacts then lie beside the file.
        name: Of this run (`run_id`).
        more: As Lightning's.
    """

    def __init__(
        self, tracking_uri: str, name: str, experiment_name: str = "cyclip-pl", **more: Any
    ) -> None:
        run_id = None
        if is_first_rank():
            import mlflow

            artifacts = None
            if tracking_uri.startswith(_LOCAL):
                folder = Path(tracking_uri.removeprefix(_LOCAL)).resolve().parent
                folder.mkdir(parents=True, exist_ok=True)
                artifacts = (folder / "artifacts").as_uri()
            client = mlflow.MlflowClient(tracking_uri)
            experiment = client.get_experiment_by_name(experiment_name)
            if experiment is None:
                number = client.create_experiment(experiment_name, artifacts)
            else:
                number = experiment.experiment_id
            for run in client.search_runs([number], f"tags.`{_TAG}` = '{name}'"):
                run_id = run.info.run_id
                client.update_run(run_id, status="RUNNING")
        super().__init__(
            experiment_name=experiment_name,
            tracking_uri=tracking_uri,
            run_id=run_id,
            tags={_TAG: name},
            **more,
        )

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        known = self.experiment.get_run(self.run_id).data.params
        flat = {name: str(value)[:_LONGEST] for name, value in leaves(params).items()}
        super().log_hyperparams({k: v for k, v in flat.items() if k not in known})
        for name, value in flat.items():
            if known.get(name, value) != value:
                self.experiment.set_tag(self.run_id, name, value)
