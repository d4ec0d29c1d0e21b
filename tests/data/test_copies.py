from __future__ import annotations

import pytest
import torch

from cyclip_pl.data.copies import Copies
from cyclip_pl.types import Batch


def _batch() -> Batch:
    images = torch.randint(0, 256, (2, 5, 3, 4, 4), dtype=torch.uint8)
    return Batch(images, torch.arange(10).view(1, 5, 2), torch.rand(2, 5, 3), {"too large": 1})


def _assert_same(moved: Batch, batch: Batch) -> None:
    assert torch.equal(moved.images.cpu(), batch.images)
    assert torch.equal(moved.texts.cpu(), batch.texts)
    assert torch.equal(moved.augmentation.cpu(), batch.augmentation)
    assert moved.skipped == batch.skipped


def test_on_the_host_a_batch_stays_where_it_is():
    batch = _batch()
    moved = Copies()(batch, torch.device("cpu"))
    assert moved.images.data_ptr() == batch.images.data_ptr()
    _assert_same(moved, batch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_copies_run_beside_what_computes():
    device, copies, batch = torch.device("cuda", 0), Copies(), _batch().pin_memory()
    for _ in range(20):
        torch.cuda._sleep(10_000_000)
        moved = copies(batch, device)
        assert moved.images.device == device
        # The copy is under way, or done, while the stream that computes is still asleep.
        assert copies._stream != torch.cuda.current_stream()
        _assert_same(moved, batch)
