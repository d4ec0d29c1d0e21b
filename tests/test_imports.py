"""One direction: data → Batch → encoder → projector → objective; no arrow points back."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cyclip_pl"
# Ground: every part may stand on these.
GROUND = {
    "types",
    "distributed",
    "images",
    "tar_samples",
    "tar_members",
    "checks",
    "files",
    "conf_dir",
    "layout",
    "remote_files",
    "http_file",
    "tables",
    "metric_kinds",
    "console",
    "provenance",
    "weights",
    "tensor_pickle",
    "torch_archive",
    "old_torch_file",
    "whole",
    "model_folder",
    "signals",
    "plain_config",
}
# What each part may import of the package, besides itself and the ground.
ALLOWED = {
    "types": set(),
    "distributed": set(),
    "images": {"files"},
    "tar_samples": {"tar_members"},
    "tar_members": set(),
    "checks": set(),
    "files": set(),
    "conf_dir": set(),
    "layout": set(),
    "remote_files": {"files", "http_file"},
    "http_file": {"files"},
    "tables": set(),
    "provenance": {"__version__", "files"},
    "weights": {"files", "whole", "tensor_pickle", "torch_archive", "old_torch_file"},
    "tensor_pickle": set(),
    "torch_archive": {"tensor_pickle"},
    "old_torch_file": {"tensor_pickle", "torch_archive"},
    "whole": {"files"},
    "model_folder": {"files", "http_file"},
    "metric_kinds": set(),
    "console": set(),
    "plain_config": set(),
    "signals": set(),
    "config_kinds": set(),
    "config_types": {"config_kinds"},
    "command_line": {"config_kinds"},
    "errors": {"command_line", "config_kinds"},
    "run_folder": {"sweeps"},
    "sweeps": set(),
    "csv_logger": set(),
    "mlflow_logger": {"checkpoints"},
    "trackio_logger": {"checkpoints"},
    "wandb_logger": set(),
    "waiting": set(),
    "cpu_quota": set(),
    "time_slice": set(),
    "jobs": {
        "config_types",
        "cpu_quota",
        "errors",
        "lean_imports",
        "run_folder",
        "sweeps",
        "time_slice",
        "waiting",
    },
    "cli": {"jobs", "command_line", "sweeps", "__version__"},
    "losses": set(),
    "data": {"__version__"},
    "encoders": set(),
    "projectors": set(),
    "objectives": {"losses"},
    "optimization": {"sharding"},
    "compilation": set(),
    "precision": set(),
    "batch_norm": set(),
    "sharding": set(),
    "average": {"sharding"},
    "optimizer_state": {"sharding", "checkpoints"},
    "optimizer_layout": set(),
    "strategy": {"sharding", "optimizer_state", "checkpoints"},
    "microbatch": {"sharding"},
    "guard": set(),
    "models": {"encoders", "projectors", "data", "checkpoints"},
    "module": {
        "encoders",
        "projectors",
        "objectives",
        "optimization",
        "optimizer_layout",
        "microbatch",
        "guard",
        "models",
        "checkpoints",
        "sharding",
        "strategy",
    },
    "metrics": set(),
    "evaluation": {"metrics"},
    "checkpoints": {"run_folder", "signals", "sharding"},
    "callbacks": {
        "average",
        "csv_logger",
        "data",
        "evaluation",
        "checkpoints",
        "objectives",
        "strategy",
    },
    "reports": {"__version__", "metrics"},
    "training": {
        "batch_norm",
        "callbacks",
        "checkpoints",
        "compilation",
        "encoders",
        "evaluation",
        "module",
        "optimization",
        "precision",
        "run_folder",
        "sweeps",
    },
    "launching": set(),
    "lean_imports": set(),
    "evaluating": {
        "models",
        "checkpoints",
        "evaluation",
        "launching",
        "run_folder",
    },
    "exporting": {"models"},
    "search": {"data", "evaluation"},
    "searching": {"models", "search"},
    "__init__": {"models"},
}
# Rooms of `evaluation/`, in the same way.
ROOMS = {
    "sets": set(),
    "watch": set(),
    "progress": {"watch"},
    "features": {"sets", "watch"},
    "probes": {"features"},
    "protocols": {"features", "sets", "probes", "results"},
    "results": set(),
    "output": {"results", "thumbnails"},
    "thumbnails": set(),
    "terminal": set(),
    "build": {"protocols", "sets"},
    "__init__": set(),
}


def _modules(path: Path) -> set[str]:
    """Modules of the package that a file imports, lazily or not, by their dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.removeprefix("cyclip_pl.") for n in names if n.startswith("cyclip_pl.")}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
NAMES = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in FILES}


def _arrows(path: Path) -> set[str]:
    """The files of the package that a file imports, by their dotted names."""
    found = set()
    for name in _modules(path):
        while name and name not in NAMES:
            name = name.rpartition(".")[0]
        if name:
            found.add(name)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_arrow_points_back(path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    assert parts[0] in ALLOWED, f"say in this test what {parts[0]} may import"
    allowed = ALLOWED[parts[0]] | {parts[0]} | (GROUND if parts[0] not in GROUND else set())
    assert {name.split(".")[0] for name in _modules(path)} <= allowed
    if parts[0] == "evaluation" and len(parts) > 1:
        inside = {n.split(".")[1] for n in _modules(path) if n.startswith("evaluation.")}
        assert inside <= ROOMS[parts[1]] | {parts[1]}


def test_no_circle() -> None:
    left = {name: _arrows(path) - {name} for name, path in NAMES.items()}
    while free := [name for name, arrows in left.items() if not arrows & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"these import one another in a circle: {sorted(left)}"


def test_no_import_is_for_types_alone() -> None:
    for path in FILES:
        assert "TYPE_CHECKING" not in path.read_text(), path


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_distributed_has_three_users(path) -> None:
    if path.name not in ("distributed.py", "sharding.py", "write_shards.py"):
        text = path.read_text()
        assert "torch.distributed" not in text.replace("`torch.distributed`", "")


def test_evaluation_knows_nothing_of_lightning() -> None:
    for path in (PACKAGE / "evaluation").rglob("*.py"):
        assert "lightning" not in path.read_text(), path


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_test_imports_from_a_test(path: Path) -> None:
    """What two of them need is in tests/helpers."""
    assert not re.search(r"^ *(from|import) tests[. ](.* )?(\S*\.)?test_", path.read_text(), re.M)
