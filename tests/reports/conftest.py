from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.evaluation.features.store import FeatureStore
from cyclip_pl.evaluation.output import write_details
from cyclip_pl.evaluation.protocols.base import run
from cyclip_pl.evaluation.protocols.consistency import Consistency
from cyclip_pl.evaluation.protocols.geometry import Geometry
from cyclip_pl.evaluation.protocols.hierarchy import Hierarchy
from cyclip_pl.evaluation.protocols.knn import KNN
from cyclip_pl.evaluation.protocols.retrieval import Retrieval
from cyclip_pl.evaluation.protocols.robustness import Robustness
from cyclip_pl.evaluation.protocols.zero_shot import ZeroShot
from cyclip_pl.reports.compare import compare
from cyclip_pl.training import write_metrics
from tests.helpers.evaluation_sets import TinyNet
from tests.helpers.run_folders import plausible_run


@pytest.fixture(scope="session")
def real_runs(world: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of two models' evaluations, written by the code of an evaluation run."""
    shapes, captions = [str(world / "shapes")], [str(world / "captions")]
    folders = []
    for seed in range(2):
        evaluations = [
            ZeroShot(shapes),
            Retrieval(captions),
            Consistency(shapes),
            KNN(shapes, ks=[5]),
            Hierarchy(shapes),
            Geometry([*shapes, *captions]),
            Robustness(
                shapes[0],
                [str(world / "moved")],
                baselines={"moved": {"slope": 1.2, "intercept": -0.09}},
            ),
        ]
        results = run(evaluations, FeatureStore(TinyNet(seed)))
        folder = tmp_path_factory.mktemp("runs") / f"seed{seed}"
        folder.mkdir()
        write_metrics(folder, results.metrics)
        write_details(folder, results)
        folders.append(folder)
    return folders


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """They have data for every plot; the first has a second data set."""
    folder = tmp_path_factory.mktemp("plausible")
    return [
        plausible_run(folder / "low", sets=("birds", "cars")),
        plausible_run(folder / "high", gain=0.1),
    ]


@pytest.fixture(scope="session")
def report(two_runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the report on `two_runs`."""
    folder = tmp_path_factory.mktemp("report")
    compare(two_runs, folder)
    return folder
