"""Where the configuration files are."""

from __future__ import annotations

from pathlib import Path


def config_dir() -> str:
    """`conf/` of the checkout, or the copy that the wheel carries."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "conf"
    return str(checkout if (checkout / "train.yaml").is_file() else package / "conf")
