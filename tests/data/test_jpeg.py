"""JPEGs decoded by parts, beside Pillow's and torchvision's pixels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resized_crop

from cyclip_pl.data import jpeg as jpegs
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.jpeg import Jpeg, reduction
from cyclip_pl.data.lazy_image import cut, whole
from cyclip_pl.data.seeds import generator
from cyclip_pl.data.shard_reader import RawSample
from cyclip_pl.data.views.augmented import Augmented
from cyclip_pl.data.views.augmented_pair import AugmentedPair
from cyclip_pl.data.views.base import Views
from cyclip_pl.data.views.plain import Plain
from cyclip_pl.data.views.several import Several
from cyclip_pl.data.views.weak import Weak
from cyclip_pl.images import Undecodable, decode_image
from tests.data.shards import epoch_of, png, write_tar
from tests.helpers.images import encoded

SHAPES = [
    (512, 480),
    (337, 451),
    (1, 1),
    (7, 300),
    (400, 20),
    (2100, 130),
    (130, 2100),
    (1203, 1101),
]


def photo(width: int, height: int, seed: int = 0, detail: bool = True) -> Image.Image:
    """Blots of all sizes, or of the largest alone."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((height, width, 3))
    for cells in (2, 5, 16, 64, 256)[: 5 if detail else 2]:
        grid = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.7
    return Image.fromarray((pixels * 255 / pixels.max()).astype(np.uint8))


def opened(data: bytes, keep: int = 2) -> Jpeg:
    undecoded = Jpeg.open(data, keep)
    assert undecoded is not None
    return undecoded


def shown(views: Views, data: bytes, images: str, seed: int) -> torch.Tensor:
    sample = RawSample("a", "0.tar", data, {"txt": b"a cat"}, ())
    image, captions = Decoder(images=images)(sample)
    return views(image, captions["txt"], generator("t", seed)).images


@pytest.mark.parametrize(
    "settings",
    [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}, {"restart_marker_rows": 1}],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("shape", [(512, 480), (37, 91), (1, 1)])
def test_decoded_whole_it_is_pillows(settings, mode: str, shape: tuple[int, int]) -> None:
    data = encoded(photo(*shape).convert(mode), **settings)
    assert opened(data).size == shape
    assert np.array_equal(np.asarray(whole(opened(data))), np.asarray(decode_image(data)))


VIEWS: dict[str, Callable[[int], Views]] = {
    "weak": lambda size: Weak(size, (0.08, 1.0)),
    "plain": Plain,
    "jittered": lambda size: Augmented(size, margin=0.1, rotation=0.0),
    "turned": lambda size: Augmented(size, rotation=20.0),
    "pair": AugmentedPair,
    "several": lambda size: Several(["a", "b", "a"], a=Weak(size, (0.05, 1)), b=Plain(size)),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", VIEWS)
def test_fast_and_faithful_show_the_same(name: str, shape: tuple[int, int]) -> None:
    views, data = VIEWS[name](32 if max(shape) < 1000 else 160), encoded(photo(*shape))
    for seed in range(3):
        a, b = (shown(views, data, images, seed).int() for images in ("fast", "faithful"))
        assert a.shape == b.shape
        # Detail is all there is in these images; 48 decibels are 1 level in the mean square.
        assert (a - b).abs().float().mean() < 1.5


@pytest.mark.parametrize("shape", [(512, 480), (337, 451), (301, 299), (2100, 130)])
def test_a_level_or_two_where_the_codec_does_not_scale(shape: tuple[int, int]) -> None:
    data = encoded(photo(*shape))
    image = decode_image(data)
    for size, seed in product([(224, 224), (97, 150), (300, 40)], range(3)):
        box = Weak(128, (0.5, 1)).crop.box(*shape, generator("t", seed))
        left, upper, right, lower = map(round, box)
        if min(right - left, lower - upper) < 128 or reduction(right, lower, size, 2) > 1:
            continue
        fast = opened(data).part((left, upper, right, lower), size)
        exact = resized_crop(
            image,
            upper,
            left,
            lower - upper,
            right - left,
            list(size[::-1]),
            InterpolationMode.BICUBIC,
        )
        apart = np.abs(fast.astype(int) - np.asarray(exact))
        assert apart.max() <= 2 and apart.mean() < 0.2


def test_faithful_is_torchvisions_crop() -> None:
    data = encoded(photo(512, 480))
    image = decode_image(data)
    box = (11, 3, 486, 470)
    ours = cut(image, box, (224, 224))
    theirs = resized_crop(image, 3, 11, 467, 475, [224, 224], InterpolationMode.BICUBIC)
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize(
    ("keep", "detail", "mean"), [(2, False, 0.3), (2, True, 1.0), (1, False, 0.5), (1, True, 4.0)]
)
def test_scaled_decoding_stays_near_pillow(keep: int, detail: bool, mean: float) -> None:
    """Odd sides: the last column and row of the scaled image are half there."""
    data = encoded(photo(1203, 1101, detail=detail))
    image, size = decode_image(data), (224, 224)
    for box in [(0, 0, 1203, 1101), (8, 16, 1160, 1096), (203, 101, 1203, 1101)]:
        assert reduction(box[2] - box[0], box[3] - box[1], size, keep) == 4 // keep
        a, b = (cut(one, box, size) for one in (opened(data, keep), image))
        assert np.abs(np.asarray(a, dtype=float) - np.asarray(b)).mean() < mean


def test_no_more_is_scaled_down_than_leaves_enough() -> None:
    assert [reduction(side, 9999, (100, 100), 2) for side in (399, 400, 799, 800, 1600, 6400)] == [
        1, 2, 2, 4, 8, 8,
    ]  # fmt: skip
    assert [reduction(9999, side, (50, 100), 1) for side in (199, 200, 399, 400)] == [1, 2, 2, 4]


def test_pixels_do_not_depend_on_what_was_asked_before() -> None:
    data = encoded(photo(1203, 1101))
    boxes = [(0, 0, 1200, 1100), (100, 50, 300, 260), (8, 8, 1000, 1000)]
    used = opened(data)
    for box in boxes * 2:
        assert np.array_equal(used.part(box, (64, 64)), opened(data).part(box, (64, 64)))


def test_views_share_what_is_decoded(monkeypatch) -> None:
    decoded = []
    monkeypatch.setattr(
        jpegs.simplejpeg,
        "decode_jpeg",
        lambda *a, decode=jpegs.simplejpeg.decode_jpeg, **k: decoded.append(1) or decode(*a, **k),
    )
    views = Several(["a", "a", "a"], a=Weak(224, (0.9, 1.0)))
    shown(views, encoded(photo(512, 480)), "fast", 0)
    assert len(decoded) == 1


def test_beyond_the_image_is_the_fill() -> None:
    view = opened(encoded(Image.new("RGB", (200, 200)))).part((-100, -50, 300, 250), (64, 64), 200)
    assert (view[:8] == 200).all() and (view[:, :14] == 200).all() and (view[:, -14:] == 200).all()
    assert (view[14:-14, 20:-20] == 0).all()


def test_left_to_pillow() -> None:
    cmyk = photo(40, 30).convert("CMYK")
    for data in (encoded(cmyk), png(0), b"", b"text", b"\xff\xd8\xff", encoded(cmyk)[:200]):
        assert Jpeg.open(data) is None


def outcome(data: bytes, images: str) -> object:
    try:
        return shown(Weak(64, (0.5, 1)), data, images, 0)
    except Undecodable as error:
        return error.reason


def test_broken_files_fare_as_with_pillow() -> None:
    data = encoded(photo(320, 300))
    rng = np.random.default_rng(0)
    broken = [
        data[:200],
        data[: len(data) // 2],
        data[:-2],
        data[:-1],
        data + b"more",
        b"\xff\xd8\xff" * 9,
    ]
    for _ in range(40):
        changed = bytearray(data)
        for place in rng.integers(2, len(data), 3).tolist():
            changed[place] = int(rng.integers(256))
        broken.append(bytes(changed))
    kinds = set()
    for file in broken:
        fast, faithful = (outcome(file, images) for images in ("fast", "faithful"))
        kinds.add(fast if isinstance(fast, str) else "used")
        if isinstance(fast, str) or isinstance(faithful, str):
            assert fast == faithful
        else:
            assert (fast.int() - faithful.int()).abs().max() <= 2  # type: ignore[attr-defined]
    assert kinds >= {"used", "undecodable image"}


def test_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(encoded(photo(60, 40), exif=exif)).size == (60, 40)


def test_too_large_is_refused_before_decoding() -> None:
    data = bytearray(encoded(Image.new("RGB", (64, 64))))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = b"\xff\xff\xff\xff"  # height and width
    for images in ("fast", "faithful"):
        assert outcome(bytes(data), images) == "image too large"


def test_an_unknown_decoder_is_refused() -> None:
    with pytest.raises(ValueError, match="data.decoder=x: must be one of faithful, fast, draft"):
        Decoder(images="x")


def test_batches_do_not_depend_on_the_reader(tmp_path: Path) -> None:
    files = {
        f"{n}": {"jpg": encoded(photo(150, 170, n)), "txt": f"image {n}".encode()}
        for n in range(16)
    }
    files["3"]["jpg"] = files["3"]["jpg"][:900]
    for shard in range(4):
        keys = [str(n) for n in range(4 * shard, 4 * shard + 4)]
        write_tar(tmp_path / f"{shard}.tar", {key: files[key] for key in keys})
    found: list[dict[int, torch.Tensor]] = []
    for workers in (0, 2, 4):
        views = Several(["a", "a"], a=Weak(48, (0.7, 1)))
        batches = epoch_of(tmp_path, workers=workers, views=views, batch_size=2)
        assert sum(batch.skipped.get("undecodable image", 0) for batch in batches) >= 1
        for batch in batches:
            assert batch.images.shape == (2, 2, 3, 48, 48) and batch.images[0].is_contiguous(
                memory_format=torch.channels_last
            )
            assert not torch.equal(batch.images[0], batch.images[1])
        first: dict[int, torch.Tensor] = {}  # one comes again, in place of the broken one
        for batch in batches:
            for i in range(len(batch)):
                first.setdefault(int(batch.texts[0, i, 0]), batch.images[:, i])
        found.append(first)
    assert all(set(one) == set(range(16)) - {3} for one in found)
    for n in found[0]:
        assert all(torch.equal(one[n], found[0][n]) for one in found)
