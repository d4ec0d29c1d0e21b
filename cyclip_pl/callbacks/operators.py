"""The operators of some steps, and what makes the host wait for the device, as a text."""

from __future__ import annotations

from collections import Counter

from torch.autograd.profiler_util import FunctionEventAvg
from torch.profiler import profile

# A value that is read from a tensor; and on a GPU, a synchronisation or a copy.
_WAITS = (
    "aten::item",
    "aten::nonzero",
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaEventSynchronize",
    "cudaMemcpy",
    "cudaMemcpyAsync",
)


def operators(profiled: profile, steps: int, rows: int = 16) -> str:
    """The `rows` operators that take most time of their own per step, then what may wait.

    Times are the GPU's, if it had work; else the processor's, summed over its threads.
    """
    averages = profiled.key_averages()
    on_gpu = any(event.self_device_time_total for event in averages)

    def time(event: FunctionEventAvg) -> float:
        return event.self_device_time_total if on_gpu else event.self_cpu_time_total

    total = sum(map(time, averages)) or 1.0
    lines = [f"{'operator':44} calls/step  ms/step  share"]
    for event in sorted(averages, key=time, reverse=True)[:rows]:
        lines.append(
            f"{event.key[:44]:44} {event.count / steps:10.1f} {time(event) / 1e3 / steps:8.2f}"
            f" {time(event) / total:6.1%}"
        )
    waits = Counter(
        f"{event.name} in {event.cpu_parent.name if event.cpu_parent else 'the loop'}"
        for event in profiled.events() or ()
        if event.name in _WAITS
    )
    lines += ["", "what may make the host wait:"]
    lines += [f"{name}: {count / steps:g} per step" for name, count in waits.items()] or ["nothing"]
    return "\n".join(lines) + "\n"
