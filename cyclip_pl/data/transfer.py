"""Batches on their way to a GPU."""

from __future__ import annotations

import torch

from cyclip_pl.types import Batch


class Copies:
    """Copies batches on a stream of their own, beside the step that still computes.

    The host waits for nothing. In the training loop it is a step or so ahead of the device, so
    that a batch is there when its own step begins; from pageable memory the copy is made before
    this returns.
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
        # Else its memory could be given to the next copy while this step still reads it.
        moved.record_stream(computing)
        return moved
