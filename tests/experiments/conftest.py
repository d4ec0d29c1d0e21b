"""The modules of experiments/ are imported as its scripts import them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "experiments"))
