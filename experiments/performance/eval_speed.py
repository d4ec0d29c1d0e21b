"""`eval.py` beside clip_benchmark: seconds and memory of whole commands on the same shards.

Three synthetic sets of 100 classes with two prompts; zero-shot classification in float32 with the
same weights of open_clip, ours from a folder. The programs take turns. A row with a few images
shows the start-up. clip_benchmark fails where a set has fewer shards than workers, and its
`accuracy` fails on NumPy 2.4, so it is given enough shards and a repaired function.

    pip install --no-deps --target CLIP_BENCHMARK clip_benchmark==1.6.2
    python experiments/performance/eval_speed.py --peer CLIP_BENCHMARK
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import cpu, machine, write
from PIL import Image

CLASSES, SHARDS = 100, 4
RESNET = {
    "embed_dim": 256,
    "vision_cfg": {
        "timm_model_name": "resnet10t",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 64,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 128,
        "heads": 2,
        "layers": 1,
    },
}
# Name, images, width and height in pixels, architecture.
ROWS = [
    ("start-up", 1, (64, 64), "resnet10t-64"),
    ("64 px", 3000, (64, 64), "resnet10t-64"),
    ("512 x 480", 1000, (512, 480), "resnet10t-64"),
    ("ViT at 224", 300, (64, 64), "ViT-S-32-alt"),
]

_PREPARE = """
import json, pathlib, sys, torch, open_clip
from safetensors.torch import save_file
open_clip.add_model_config(sys.argv[1])
mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
for name in ("resnet10t-64", "ViT-S-32-alt"):
    torch.manual_seed(0)
    weights = open_clip.create_model(name).state_dict()
    folder = pathlib.Path(sys.argv[1], "models", name)
    folder.mkdir(parents=True)
    torch.save(weights, folder / "weights.pt")
    save_file(weights, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(name)}
    config["preprocess_cfg"] = {"mean": mean, "std": std}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
"""
_PEER = """
import sys, numpy as np, torch, open_clip
open_clip.add_model_config(sys.argv.pop(1))
from clip_benchmark.metrics import zeroshot_classification as z
def accuracy(output, target, topk=(1,)):
    found = output.topk(max(topk), 1)[1].t().eq(target.view(1, -1))
    return [float(found[:k].reshape(-1).float().sum() / len(target)) for k in topk]
z.accuracy = accuracy
from clip_benchmark.cli import main
main()
"""


def write_set(folder: Path, images: int, size: tuple[int, int]) -> None:
    """Smooth noise as JPEG, over four shards, in clip_benchmark's layout."""
    split = folder / "test"
    split.mkdir(parents=True)
    (folder / "classnames.txt").write_text("\n".join(f"thing {k}" for k in range(CLASSES)))
    (folder / "zeroshot_classification_templates.txt").write_text("{c}\na photo of a {c}.")
    (split / "nshards.txt").write_text(str(SHARDS))
    random = np.random.default_rng(0)
    shards = [tarfile.open(split / f"{n}.tar", "w") for n in range(SHARDS)]  # noqa: SIM115
    for n in range(max(images, SHARDS)):
        blocks = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        blocks.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        for suffix, data in (("jpg", file.getvalue()), ("cls", str(n % CLASSES).encode())):
            info = tarfile.TarInfo(f"{n:07d}.{suffix}")
            info.size = len(data)
            shards[n % SHARDS].addfile(info, io.BytesIO(data))
    for shard in shards:
        shard.close()


def measured(command: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and the most memory, in MB, of a command and its processes."""
    before, start, most = os.times(), time.perf_counter(), 0.0
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None:
        most = max(most, _tree_bytes(process.pid))
        time.sleep(0.1)
    assert process.stderr is not None
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode()[-2000:])
    after = os.times()
    worked = after.children_user + after.children_system
    worked -= before.children_user + before.children_system
    return time.perf_counter() - start, worked, most / 1e6


def _tree_bytes(pid: int) -> float:
    """Memory of a process and those that it started; what they share is divided among them."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        own = next(int(x.split()[1]) * 1024 for x in text.splitlines() if x.startswith("Pss:"))
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, StopIteration):
        return 0.0
    return own + sum(_tree_bytes(int(child)) for child in below)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="folder that clip_benchmark is installed in")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of images")
    parser.add_argument("--rows", default=",".join(row[0] for row in ROWS))
    parser.add_argument("--workers", default="2", help="of clip_benchmark")
    parser.add_argument("--ours", default="", help="further settings of eval.py")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    print(machine("torch", "open_clip_torch"))
    root = Path(__file__).parents[2]
    paths = [str(root), arguments.peer, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "resnet10t-64.json").write_text(json.dumps(RESNET))
        subprocess.run([sys.executable, "-c", _PREPARE, folder], check=True, capture_output=True)
        for name, images, size, architecture in ROWS:
            if name not in arguments.rows.split(","):
                continue
            count = max(SHARDS, round(images * arguments.scale))
            data = Path(folder) / f"set{len(list(Path(folder).iterdir()))}"
            write_set(data, count, size)
            model = f"{folder}/models/{architecture}"
            commands = {
                "ours": [
                    *(sys.executable, str(root / "eval.py"), "model=open_clip"),
                    *(f"model.name={model}", f"evaluation.datasets=[{data}]"),
                    *(f"hydra.run.dir={folder}/ours", *arguments.ours.split()),
                ],
                "peer": [
                    *(sys.executable, "-c", _PEER, folder, "eval", "--model", architecture),
                    *(
                        "--pretrained",
                        f"{model}/weights.pt",
                        "--dataset",
                        "wds/set",
                        "--dataset_root",
                    ),
                    *(str(data), "--task", "zeroshot_classification", "--no_amp"),
                    *("--num_workers", arguments.workers, "--batch_size", "64"),
                    *("--output", f"{folder}/peer.json"),
                ],
            }
            rounds: dict[str, list[tuple[float, float, float]]] = {who: [] for who in commands}
            accuracy = {}
            for _ in range(arguments.rounds):
                for who, command in commands.items():
                    rounds[who].append(measured(command, environment))
            metrics = json.loads(Path(f"{folder}/ours/metrics.json").read_text())
            accuracy["ours"] = next(v for k, v in metrics.items() if k.endswith("zero_shot/acc1"))
            accuracy["peer"] = json.loads(Path(f"{folder}/peer.json").read_text())["metrics"][
                "acc1"
            ]
            for who, found in rounds.items():
                wall, worked, most = (statistics.median(x) for x in zip(*found, strict=True))
                rows.append(
                    {
                        "cpu": cpu(),
                        "row": name,
                        "images": count,
                        "program": who,
                        "seconds": f"{wall:.1f}",
                        "cpu_seconds": f"{worked:.1f}",
                        "peak_mb": f"{most:.0f}",
                        "acc1": f"{accuracy[who]:.6f}",
                    }
                )
                print({k: v for k, v in rows[-1].items() if k != "cpu"}, flush=True)
    write(rows, list(rows[0]), arguments.output)


if __name__ == "__main__":
    main()
