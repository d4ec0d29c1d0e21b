"""One direction: data → Batch → encoder → projector → objective; no arrow points back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cyclip_pl"
BASE = {"types", "distributed"}
# What each part may import of the package, besides itself.
ALLOWED = {
    "types": set(),
    "distributed": set(),
    "errors": {"cli"},
    "cli": {"training", "evaluating", "errors"},
    "locks": set(),
    "losses": {"distributed"},
    "data": BASE | {"locks"},
    "encoders": BASE,
    "projectors": BASE,
    "objectives": BASE | {"losses"},
    "optimization": set(),
    "compilation": set(),
    "model": BASE | {"encoders", "projectors", "data"},
    "microbatch": BASE,
    "module": BASE
    | {"encoders", "projectors", "objectives", "optimization", "microbatch", "model"},
    "evaluation": BASE | {"losses", "locks"},
    "checkpoints": BASE | {"encoders", "projectors", "model"},
    "callbacks": BASE | {"data", "evaluation"},
    "reports": set(),
    "training": BASE | {"callbacks", "checkpoints", "compilation", "evaluation", "module"},
    "evaluating": BASE | {"checkpoints", "evaluation"},
    "__init__": {"checkpoints"},
}


def _imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, lazily or not, by their first part."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("cyclip_pl.")}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_arrow_points_back(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert part in ALLOWED, f"say in this test what {part} may import"
    assert _imports(path) - {part} <= ALLOWED[part]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_distributed_has_one_user(path):
    if path.name != "distributed.py":
        text = path.read_text()
        assert "torch.distributed" not in text.replace("`torch.distributed`", "")


def test_evaluation_knows_nothing_of_lightning():
    for path in (PACKAGE / "evaluation").glob("*.py"):
        assert "lightning" not in path.read_text(), path
