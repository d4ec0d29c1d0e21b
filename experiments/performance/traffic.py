"""On paper: the bytes that a rank sends and holds in a step, for a loss of N samples on W ranks.

    python experiments/performance/traffic.py

A row has D float32 numbers and a rank n = N/W rows per modality, a block of E = 4·n·D bytes. What
a rank holds is counted without its own rows and their gradients. A tile is 4,096² at most; V = 3
views. Of the whole, all-gather and reduce-scatter send (W − 1)/W, an all-reduce twice that.

CLIP, tiled. Sends W − 1 blocks forward; W − 1 blocks and W blocks of gradients backward,
  (3W − 2)·E. Holds two blocks and two blocks of gradients, 4E, and three tiles.
CLIP, open_clip local (`--local-loss --gather-with-grad`). Gathers both modalities and reduces
  their gradients: 4(W − 1)·E. Holds both gathered with their gradients, 4W·E, and two n×N
  matrices, each with its log-softmax and its gradient, 6·4·n·N.
CLIP, open_clip default. Sends 2(W − 1)·E, no gradients. Holds both gathered, 2W·E, and one N×N
  matrix with two log-softmaxes and a gradient, 4·4·N².
CLIP, Inf-CL (arXiv 2410.17243, its published code). Sends one ring per direction, 2(3W − 2)·E.
  Holds 5E; its tiles stay on the chip.
CyCLIP, tiled and Gram. Sends what CLIP sends and an all-reduce of 3·D² numbers. Holds what CLIP
  holds and 7·4·D².
SigLIP, tiled. Sends W − 1 blocks and W blocks of gradients, (2W − 1)·E. Holds 4E and three tiles.
SigLIP, open_clip. Sends W − 1 blocks forward and as many of gradients backward, 2(W − 1)·E. Holds
  all blocks, W·E, and for each its scores, labels and their product, 3·4·n·N, for the gradient.
CySigLIP. SigLIP's and what CyCLIP adds. CyCLIP augmented. CLIP's ring three times and the same.
HN-CLIP, tiled. CLIP's ring twice: for the weighted sum and for its weights.
SLIP, tiled. CLIP's, and two views of D numbers against each other: blocks of 2E go half way round,
  (3H + 1)·2E with H = ⌊W/2⌋. Holds 4·2E.
nCLIP. Sends sums of K = 32,768 numbers per modality, forward and backward, 8(W − 1)/W·4K. Holds p
  and q for each of its three terms and two products of them, 8·4·n·K. xCLIP. CLIP's and nCLIP's.
UniCLIP, tiled. CLIP's ring between images and texts. Within them blocks of V·E and E go half way
  round, (3H + 1)(V + 1)·E. Holds 4V·E and three tiles.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

Bytes = tuple[float, float]
WIDTH, TILE, VIEWS, CLUSTERS = 512, 4096, 3, 32_768


def _tiles(n: float) -> float:
    return 12 * min(n, TILE) ** 2


def _clip(n: float, w: int, e: float) -> Bytes:
    return (3 * w - 2) * e, 4 * e + _tiles(n)


def _clip_local(n: float, w: int, e: float) -> Bytes:
    return 4 * (w - 1) * e, 4 * w * e + 24 * n * n * w


def _clip_default(n: float, w: int, e: float) -> Bytes:
    return 2 * (w - 1) * e, 2 * w * e + 16 * (n * w) ** 2


def _inf_cl(n: float, w: int, e: float) -> Bytes:
    return 2 * (3 * w - 2) * e, 5 * e


def _with_consistency(bytes_: Bytes, w: int) -> Bytes:
    sent, held = bytes_
    return sent + 2 * (w - 1) / w * 12 * WIDTH**2, held + 28 * WIDTH**2


def _cyclip(n: float, w: int, e: float) -> Bytes:
    return _with_consistency(_clip(n, w, e), w)


def _cyclip_augmented(n: float, w: int, e: float) -> Bytes:
    sent, held = _clip(n, w, e)
    return _with_consistency((3 * sent, held), w)


def _cysiglip(n: float, w: int, e: float) -> Bytes:
    return _with_consistency(_siglip(n, w, e), w)


def _hn_clip(n: float, w: int, e: float) -> Bytes:
    sent, held = _clip(n, w, e)
    return 2 * sent, held


def _slip(n: float, w: int, e: float) -> Bytes:
    return _clip(n, w, e)[0] + (3 * (w // 2) + 1) * 2 * e, 8 * e + _tiles(n)


def _nclip(n: float, w: int, e: float) -> Bytes:
    return 8 * (w - 1) / w * 4 * CLUSTERS, 32 * n * CLUSTERS


def _xclip(n: float, w: int, e: float) -> Bytes:
    (sent, held), (of_sums, of_clusters) = _clip(n, w, e), _nclip(n, w, e)
    return sent + of_sums, held + of_clusters


def _siglip(n: float, w: int, e: float) -> Bytes:
    return (2 * w - 1) * e, 4 * e + _tiles(n)


def _siglip_open_clip(n: float, w: int, e: float) -> Bytes:
    return 2 * (w - 1) * e, w * e + 12 * n * n * w


def _uniclip(n: float, w: int, e: float) -> Bytes:
    within = (3 * (w // 2) + 1) * (VIEWS + 1) * e
    return (3 * w - 2) * e + within, 4 * VIEWS * e + _tiles(n)


OBJECTIVES: dict[str, Callable[[float, int, float], Bytes]] = {
    "CLIP, tiled": _clip,
    "CLIP, open_clip local": _clip_local,
    "CLIP, open_clip default": _clip_default,
    "CLIP, Inf-CL": _inf_cl,
    "CyCLIP, tiled and Gram": _cyclip,
    "SigLIP, tiled": _siglip,
    "SigLIP, open_clip": _siglip_open_clip,
    "UniCLIP, tiled": _uniclip,
    "CyCLIP augmented": _cyclip_augmented,
    "CySigLIP": _cysiglip,
    "HN-CLIP, tiled": _hn_clip,
    "SLIP, tiled": _slip,
    "nCLIP": _nclip,
    "xCLIP": _xclip,
}


def _readable(count: float) -> str:
    for unit in ("MB", "GB", "TB"):
        count /= 1e3 if unit != "MB" else 1e6
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}"
    raise AssertionError


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    ranks = (8, 64, 256, 1024)
    for samples in (32_768, 1_048_576):
        print(f"\nN = {samples:,}, D = {WIDTH}: one rank sends / holds, by W\n")
        print("| |", " | ".join(map(str, ranks)), "|")
        print("|---" * (len(ranks) + 1) + "|")
        for name, function in OBJECTIVES.items():
            cells = []
            for w in ranks:
                n = samples / w
                cells.append(" / ".join(map(_readable, function(n, w, 4 * n * WIDTH))))
            print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
