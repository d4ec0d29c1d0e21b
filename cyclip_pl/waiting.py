"""How OpenMP's threads wait for one another, set for a command before PyTorch is loaded."""

from __future__ import annotations

import os

# What a user may have set, also for other OpenMP libraries than GNU's, which PyTorch's wheels have.
SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINS = "5000"


def wait_briefly() -> None:
    """Let threads sleep after a short spin, unless the environment says how they wait.

    The library's default is a spin of some milliseconds. Beside another busy process a spinning
    thread uses up its share of a core, and then stands still where the others wait for it
    (experiments/performance, "A busy machine"). Child processes inherit the setting.
    """
    if not any(name in os.environ for name in SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = SPINS
