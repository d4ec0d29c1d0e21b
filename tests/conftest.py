from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.world import write_world


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training shards `train/` and a zero-shot set `shapes/`."""
    return write_world(tmp_path_factory.mktemp("world"))
