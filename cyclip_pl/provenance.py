"""What made a result: the code, the packages, the command, the device and the time."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from cyclip_pl import __version__, files

_CHECKOUT = Path(__file__).resolve().parents[1]
_PACKAGES = ("torch", "lightning", "open_clip_torch", "torchmetrics", "webdataset", "hydra-core")


def provenance(device: torch.device) -> dict[str, Any]:
    """Plain containers that say what this process is, on which device it computes, and when."""
    return {
        "cyclip_pl": __version__,
        "git": git_revision(_CHECKOUT),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "command": shlex.join(sys.argv),
        "choices": choices(),
        "device": device.type if device.type == "cpu" else device_name(device),
        "cpu": cpu_name(),
        "cpu_kind": cpu(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    """The GPU's or the processor's name, as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_name() if device.type == "cpu" else device.type


def of_resumed(
    made_by: dict[str, Any], step: int, changes: dict[str, tuple[Any, Any]], before: dict[str, Any]
) -> dict[str, Any]:
    """`made_by` of a run that goes on: where, with which changes, and what made it `before`.

    `earlier` lists the starts before this one, the first of them first.
    """
    earlier = [*before.get("earlier", ()), {k: v for k, v in before.items() if k != "earlier"}]
    changed = {name: list(pair) for name, pair in changes.items()}
    return {**made_by, "resumed_at": step, "changed": changed, "earlier": earlier}


def write_provenance(folder: Path, made_by: dict[str, Any]) -> None:
    """Write `provenance.json`, which stands beside `metrics.json`."""
    with files.atomic(folder / "provenance.json") as partial:
        partial.write_text(
            json.dumps(made_by, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8"
        )


def git_revision(checkout: Path) -> dict[str, Any] | None:
    """The commit of a checkout and whether files differ from it; None outside a checkout.

    Only a repository whose root is `checkout` counts: an installed package may lie inside the
    repository of something else.
    """
    if not (checkout / ".git").exists():
        return None
    # Within a hook of another repository, git's own variables would point there.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(checkout), "--no-optional-locks", *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        revision = git("rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(git("status", "--porcelain", "-unormal"))}
    except (OSError, subprocess.SubprocessError):  # no git here, or it refuses the folder
        return None


def choices() -> dict[str, Any]:
    """The choice of each config group; of a sweep, those of this job."""
    if not HydraConfig.initialized():
        return {}
    made: Any = OmegaConf.to_container(HydraConfig.get().runtime.choices)
    return {group: choice for group, choice in made.items() if not group.startswith("hydra/")}


def typed() -> set[str]:
    """The groups and settings that the command line names."""
    if not HydraConfig.initialized():
        return set()
    return {re.split("[=@]", one.lstrip("+~"))[0] for one in HydraConfig.get().overrides.task}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """What the maker calls the processor."""
    names = _of_cores("model name")
    return names[0] if names else platform.processor() or platform.machine()


def cpu() -> str:
    """What decides the speed of a CPU: vendor, family, model, instruction set.

    The instruction set is the one that PyTorch uses, so ATEN_CPU_CAPABILITY=avx2 changes it.
    """
    vendors = _of_cores("vendor_id") or [platform.machine()]
    vendor = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel"}.get(vendors[0], vendors[0])
    kinds = [f"{x.split()[-1]} {y}" for x in ("cpu family", "model") for y in _of_cores(x)[:1]]
    capability = torch.backends.cpu.get_cpu_capability()
    flags = " ".join(_of_cores("flags")[:1]).split()
    native = "AVX512" in capability and {"avx512_bf16", "amx_bf16"} & set(flags)
    return f"{' '.join([vendor, *kinds])}, {capability}{' + bfloat16' if native else ''}"


def _of_cores(field: str) -> list[str]:
    """A field of /proc/cpuinfo by core; nothing where the system or the processor has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for name, _, value in pairs if name.strip() == field]
