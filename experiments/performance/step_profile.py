"""The operators of a training step, and what makes the host wait for the device.

    python experiments/performance/step_profile.py [--device cuda --encoder rn50 --batch 256]

profiles some steps between two logged ones. The configuration is the composed one; batches are
random and in memory (`synthetic.py`). Prints the operators that take most of the time, and counts
what makes the host wait: values read from a tensor, and on a GPU synchronisations and copies.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import torch
from common import machine
from step import Setting, ours
from torch.profiler import ProfilerActivity, profile

WAITS = (
    "aten::item",
    "aten::nonzero",
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaEventSynchronize",
    "cudaMemcpy",
    "cudaMemcpyAsync",
)


class Profile(L.Callback):
    """Write the profile of the `steps` steps after step `first` to `output`."""

    def __init__(self, output: str, first: int, steps: int) -> None:
        self.output, self.first, self.last = Path(output), first, first + steps
        self.profile: Any = None

    def on_train_batch_end(self, trainer: L.Trainer, *unused: Any) -> None:
        if trainer.global_step == self.first:
            cuda = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self.profile = profile(activities=[ProfilerActivity.CPU, *cuda])
            self.profile.__enter__()
        elif trainer.global_step == self.last:
            self.profile.__exit__(None, None, None)
            self.output.write_text(report(self.profile, self.last - self.first))


def report(profile_: Any, steps: int) -> str:
    averages = profile_.key_averages()
    device = any(event.self_device_time_total for event in averages)
    time = lambda e: e.self_device_time_total if device else e.self_cpu_time_total  # noqa: E731
    total = sum(map(time, averages))
    lines = [f"{'operator':44} calls/step  ms/step  share"]
    for event in sorted(averages, key=time, reverse=True)[:16]:
        milliseconds = time(event) / 1e3 / steps
        calls = event.count / steps
        lines.append(
            f"{event.key[:44]:44} {calls:10.1f} {milliseconds:8.2f} {time(event) / total:6.1%}"
        )
    waits = Counter(
        f"{event.name} in {event.cpu_parent.name if event.cpu_parent else 'the loop'}"
        for event in profile_.events()
        if event.name in WAITS
    )
    lines += ["", "what may make the host wait:"]
    lines += [f"{name}: {count / steps:g} per step" for name, count in waits.items()] or ["nothing"]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--encoder", default="tiny", help="of conf/encoder")
    parser.add_argument("--objective", default="cyclip", help="of conf/objective")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    print(machine("torch", "lightning"))
    with tempfile.NamedTemporaryFile("r") as file:
        setting = Setting(options.encoder, options.precision, options.batch, options.device, 16)
        callback = f"{{_target_: step_profile.Profile, output: {file.name}, first: 10, steps: 8}}"
        further = f"+callbacks.profile={callback}", "trainer.log_every_n_steps=100"
        ours(setting, options.objective, *further)
        print(file.read())


if __name__ == "__main__":
    main()
