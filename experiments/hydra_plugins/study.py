"""`hydra/sweeper=study`: gives the launcher a list of runs instead of a product of values."""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig
from studies import plan


class StudySweeper(Sweeper):
    """Launches `plan.handed`."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """The launcher's returns; a failed job's error is not raised here, so all others run."""
        returns = []
        for stage in plan.handed:
            jobs = [[*arguments, *run.job] for run in stage]
            returns += self.launcher.launch(jobs, initial_job_idx=len(returns))
        return returns


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="study",
    node={"_target_": "hydra_plugins.study.StudySweeper"},
    provider="study",
)
