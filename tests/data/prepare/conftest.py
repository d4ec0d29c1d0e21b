from __future__ import annotations

from pathlib import Path

import pytest

from cyclip_pl.data.prepare import emoji


@pytest.fixture(scope="session")
def emoji_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole emoji preparation, at half the size."""
    return emoji.prepare(tmp_path_factory.mktemp("prepared") / "emoji", size=32)
