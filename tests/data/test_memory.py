"""What the reading processes hold does not grow with what was read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.shards import write_tar
from tests.helpers.images import encoded

pytestmark = pytest.mark.slow

# Megabytes of all processes (what they share divided among them) at the end of each epoch.
SCRIPT = """
import os, sys
from pathlib import Path
from cyclip_pl.data import module
from cyclip_pl.data.settings import Shuffle
from cyclip_pl.data.views.weak import Weak
from tests.data.shards import data_module

module._SMALL = 0  # these shards stand for large ones, of which nothing is kept
settings = {"batch_size": 32, "workers": 2, "views": Weak(64), "shuffle": Shuffle(buffer=32)}
data = data_module(Path(sys.argv[1]), **settings)
data.setup("fit")
loader = data.train_dataloader()
me = os.getpid()
for epoch in range(6):
    for batch in loader:
        pass
    held = 0
    children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    assert len(children) == 2
    for process in [me, *children]:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            held += int(line.split()[1]) if line.startswith("Pss:") else 0
    print(held // 1000)
data.teardown("fit")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_memory_over_epochs(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise))
    for shard in range(2):
        samples = {
            f"{n}": {"jpg": data, "txt": f"image {n}".encode()}
            for n in range(shard * 96, shard * 96 + 96)
        }
        write_tar(tmp_path / f"{shard}.tar", samples)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    _, second, *later = map(int, done.stdout.split())
    # An epoch decodes 52 MB of pixels from 20 MB of JPEGs.
    assert max(later) < second + 20
