"""What training makes of a tar with a fault, held against the whole tar."""

from __future__ import annotations

import tarfile
from pathlib import Path

from cyclip_pl.data.epochs import ExactEpochs, Reader, Shards
from cyclip_pl.data.settings import Shuffle
from cyclip_pl.data.shard_reader import ShardReader
from cyclip_pl.data.shard_sizes import shard_sizes
from cyclip_pl.data.skipped import SkipCounter
from tests.helpers.tars import tar

SAMPLES = 20
# The bytes of an image say which one it is.
IMAGES = {f"{i:03d}": b"%03d" % i * (200 + 70 * i) for i in range(SAMPLES)}


def _whole(format: int, folder: str) -> bytes:
    members = []
    for key, image in IMAGES.items():
        members += [(f"{folder}{key}.png", image), (f"{folder}{key}.txt", key.encode())]
    return tar(members, format)


WHOLE = {
    tarfile.USTAR_FORMAT: _whole(tarfile.USTAR_FORMAT, ""),
    tarfile.GNU_FORMAT: _whole(tarfile.GNU_FORMAT, "deep/" * 40),
    tarfile.PAX_FORMAT: _whole(tarfile.PAX_FORMAT, "deep/" * 40),
}


def lost_and_read(path: Path, data: bytes, what: str) -> str:
    """Read it on two ranks of two workers each; "told" if samples were lost, else "harmless".

    Raises:
        AssertionError: A sample is lost and not counted, or has got another one's image.
    """
    path.write_bytes(data)
    epochs = ExactEpochs(
        Shards((str(path),), (SAMPLES,)), batch_size=1, shuffle=Shuffle(shards=False, buffer=1)
    )
    skipped = SkipCounter(quiet=True)
    read = 0
    for rank in range(2):
        for worker in range(2):
            reader = Reader(0, 0, rank, 2, worker, 2)
            for raw in epochs.samples(reader, 0, ShardReader(("txt",)), skipped):
                if raw.image is None or not raw.texts:
                    skipped.add("incomplete sample", raw.url)  # as the decoder does
                    continue
                own = raw.texts["txt"].decode("latin-1")
                others = (image for key, image in IMAGES.items() if key != own)
                assert own not in IMAGES or raw.image not in others, f"{what}: {own}"
                read += 1
    counts = skipped.take()
    beyond = counts.pop("uncounted sample", 0)
    lost = sum(counts.values())
    # A damaged name, which no checksum guards, makes two incomplete samples of one.
    assert read + lost >= SAMPLES, f"{what}: {read} read, {lost} counted as lost: {counts}"
    assert read + lost <= SAMPLES + beyond + 2, f"{what}: {read} read, {lost} counted: {counts}"
    (size,) = shard_sizes([str(path)])
    if "cut shard" in counts or "damaged shard" in counts:
        assert size.broken is not None, what
    return "told" if lost or size.broken else "harmless"
