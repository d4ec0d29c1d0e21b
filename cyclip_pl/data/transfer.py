"""Copies batches to a GPU."""

from __future__ import annotations

import torch

from cyclip_pl.types import Batch


class Transfer:
    """Copies batches on a CUDA stream of its own, while an earlier step still computes.

    The host does not wait. In the training loop it is about a step ahead of the device, so a batch
    arrives before its step begins. Only from pageable memory does the call wait for the copy.
    """

    def __init__(self) -> None:
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, batch: Batch, device: torch.device) -> Batch:
        """`batch` on `device`, for use on that device's current stream."""
        if device.type != "cuda":
            return batch.to(device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        with torch.cuda.stream(self._stream):
            moved = batch.to(device, non_blocking=True)
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(self._stream)
        # Otherwise the next copy could get its memory while this step still reads it.
        moved.record_stream(computing)
        return moved
