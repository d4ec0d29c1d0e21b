from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from cyclip_pl.data.transfer import Transfer
from cyclip_pl.types import Batch


def _batch() -> Batch:
    images = torch.randint(0, 256, (2, 5, 3, 4, 4), dtype=torch.uint8)
    return Batch(images, torch.arange(10).view(1, 5, 2), torch.rand(2, 5, 3), {"too large": 1})


def _assert_same(moved: Batch, batch: Batch) -> None:
    assert torch.equal(moved.images.cpu(), batch.images)
    assert torch.equal(moved.texts.cpu(), batch.texts)
    assert torch.equal(moved.augmentation.cpu(), batch.augmentation)
    assert moved.skipped == batch.skipped


def test_on_the_host_a_batch_stays_where_it_is() -> None:
    batch = _batch()
    moved = Transfer()(batch, torch.device("cpu"))
    assert moved.images.data_ptr() == batch.images.data_ptr()
    _assert_same(moved, batch)


class _Fake:
    """A batch, streams and a device that note what is done with them."""

    type = "cuda"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notes: list[str] = []
        self.current = "computing"
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: "copying")
        monkeypatch.setattr(torch.cuda, "stream", self._within)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self)

    @contextmanager
    def _within(self, stream: str) -> Iterator[None]:
        self.current, before = stream, self.current
        yield
        self.current = before

    def to(self, device: _Fake, non_blocking: bool) -> _Fake:
        assert non_blocking
        self.notes.append(f"copied on {self.current}")
        return self

    def wait_stream(self, stream: str) -> None:
        self.notes.append(f"{self.current} waits for {stream}")

    def record_stream(self, stream: _Fake) -> None:
        self.notes.append(f"kept for {stream.current}")


def test_the_stream_that_computes_waits_for_the_copy_and_keeps_its_memory(monkeypatch) -> None:
    fake, transfer = _Fake(monkeypatch), Transfer()
    for _ in range(2):
        transfer(fake, fake)
    order = ["copied on copying", "computing waits for copying", "kept for computing"]
    assert fake.notes == 2 * order


def test_the_memory_of_every_part_is_kept(monkeypatch) -> None:
    kept = []
    monkeypatch.setattr(Tensor, "record_stream", lambda x, stream: kept.append(x.data_ptr()))
    batch = _batch()
    batch.record_stream("computing")
    assert kept == [x.data_ptr() for x in (batch.images, batch.texts, batch.augmentation)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_copies_run_beside_what_computes() -> None:
    device, transfer, batch = torch.device("cuda", 0), Transfer(), _batch().pin_memory()
    for _ in range(3):
        torch.cuda._sleep(1_000_000_000)
        slept = torch.cuda.Event()
        slept.record()
        moved = transfer(batch, device)
        transfer._stream.synchronize()
        # The copy is done, and what was queued before it is not.
        assert not slept.query()
        _assert_same(moved, batch)
