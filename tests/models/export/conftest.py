from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import open_clip
import pytest


@pytest.fixture(autouse=True, scope="module")
def _one_vocabulary() -> Iterator[None]:
    """Reading it takes most of the time of such a small model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(open_clip.factory, "SimpleTokenizer", cache(open_clip.SimpleTokenizer))
        yield
