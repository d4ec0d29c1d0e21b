from __future__ import annotations

import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, and for the processes that tests start: a core per worker.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.helpers.world import write_world


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests marked soak, and no others")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    soaks = bool(config.getoption("--soak"))
    parts: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        parts[item.get_closest_marker("soak") is not None].append(item)
    config.hook.pytest_deselected(items=parts[not soaks])
    items[:] = parts[soaks]


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training shards `train/` and a zero-shot set `shapes/`."""
    return write_world(tmp_path_factory.mktemp("world"))
