"""A small web of images for img2dataset, with what the real one has: lost and broken images."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

from PIL import Image

from cyclip_pl.data.inspect.__main__ import main
from cyclip_pl.data.shard_sizes import shard_sizes
from tests.data.shards import epoch_of, number_tokenizer, numbers
from tests.helpers.images import encoded

LIST = "list.tsv"
OPTIONS = (
    "--input_format tsv --url_col url --caption_col caption --output_format webdataset "
    "--image_size 48 --resize_mode keep_ratio --resize_only_if_bigger True "
    "--number_sample_per_shard 5 --processes_count 1 --thread_count 2"
)
"""Of the command, besides `--url_list` and `--output_folder`."""
CAPTIONS = [f"an image of colour {number}" for number in range(10)]
MISSING, BROKEN = (2, 6), (3, 9)


def write_web(folder: Path, url: str) -> None:
    """Ten URLs below `url`, listed in `LIST`: two lead nowhere, and two to what is not an image."""
    folder.mkdir()
    rows = ["url\tcaption"]
    for number, caption in enumerate(CAPTIONS):
        rows.append(f"{url}/{number}.jpg\t{caption}")
        image = encoded(Image.new("RGB", (40 + 8 * number, 64), (20 * number, 100, 200)))
        if number in BROKEN:
            image = b"<html>Gone</html>"
        if number not in MISSING:
            (folder / f"{number}.jpg").write_bytes(image)
    (folder / LIST).write_text("\n".join(rows) + "\n")


def good() -> list[int]:
    """The numbers of the images that can be had."""
    return [n for n in range(len(CAPTIONS)) if n not in (*MISSING, *BROKEN)]


def check(folder: Path, tmp_path: Path) -> None:
    """Training and `cyclip-inspect` read img2dataset's output folder as it is."""
    urls = sorted(str(path) for path in folder.glob("*.tar"))
    assert len(urls) == 2
    # Its stats alone are asked: a scan would count the same.
    with patch("cyclip_pl.data.shard_sizes._scanned", side_effect=AssertionError):
        assert [size.samples for size in shard_sizes(urls)] == [3, 3]

    expected = sorted(CAPTIONS[number] for number in good())
    for key in (None, "caption"):  # the txt members, and a key of the json members
        batches = epoch_of(folder, batch_size=2, caption_key=key, tokenizer=number_tokenizer)
        assert not any(batch.skipped for batch in batches)
        seen = sorted(f"an image of colour {n}" for batch in batches for n in numbers(batch))
        assert seen == expected

    assert main([str(folder), "--strict", "--json", f"{tmp_path}/inspect.json"]) == 0
    (part,) = json.loads((tmp_path / "inspect.json").read_text())["parts"]
    assert (part["shards"], part["shards_with_a_count"]) == (2, 2)
    assert (part["samples"], part["lost"]) == (6, {})
    assert part["downloads"]["tried"] == 10
    failed = part["downloads"]["failed"]
    assert sorted(failed.values()) == [2, 2]
    assert any("404" in reason for reason in failed)
    assert part["formats"] == {"JPEG": 6}
    assert part["quantiles"]["height"]["greatest"] == 64
    assert part["quantiles"]["width"]["least"] == 40
