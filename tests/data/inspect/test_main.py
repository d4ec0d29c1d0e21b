"""The command: what it prints, writes and returns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cyclip_pl
from cyclip_pl.data.inspect.__main__ import main
from tests.data.shards import png, sample, write_shards, write_tar
from tests.helpers.http_server import serving

BROKEN = {"good": sample(0), "bad": {"png": png(1)[:40], "txt": b"x"}}


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def told(path: Path) -> list[dict]:
    return json.loads(path.read_text("utf-8"))["parts"]


def test_a_good_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tmp_path, [3, 2])
    assert main([str(tmp_path), "--strict", "--json", f"{tmp_path}/out.json"]) == 0
    output = capsys.readouterr().out
    rows = {line.split()[0]: line.split(maxsplit=1)[1].strip() for line in output.splitlines()[1:7]}
    assert rows["samples"] == "5"
    assert rows["formats"] == "PNG 5"
    assert rows["captions"] == "5; 0.0 % are longer than 77 tokens and get cut"
    assert rows["repeated"] == "0 keys, 0 captions, 0 images"
    assert "nobody counted the samples of 2: sizes.json saves training a pass" in " ".join(
        output.split()
    )
    (part,) = told(tmp_path / "out.json")
    assert part["quantiles"]["shard_samples"] == {
        "least": 2,
        "5 %": 2,
        "median": 2,
        "95 %": 3,
        "greatest": 3,
    }
    assert part["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.tar"))


@pytest.mark.parametrize("strict", [True, False])
def test_something_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str], strict: bool) -> None:
    path = write_tar(tmp_path / "x.tar", BROKEN)
    assert main([str(tmp_path), *["--strict"] * strict]) == int(strict)
    output = capsys.readouterr().out
    assert "1, and 1 lost" in output
    assert f"{path}, sample bad: undecodable image: " in output


def test_an_evaluation_set_without_its_number_of_shards(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set" / "test"
    write_tar(folder / "0.tar", {"a": {"png": png(0), "cls": b"0"}})
    (tmp_path / "set" / "classnames.txt").write_text("cat\ndog\n")
    arguments = [f"{tmp_path}/set", "--strict", "--json", f"{tmp_path}/out.json"]
    assert main(arguments) == 1
    (part,) = told(tmp_path / "out.json")
    assert part["problems"] == ["test/nshards.txt is missing; test holds 1 .tar files"]
    assert part["classes"] == {"number": 2, "empty": 1, "least": 0, "greatest": 1}
    (folder / "nshards.txt").write_text("1\n")
    assert main(arguments) == 0


def test_the_output_fits_80_columns_whatever_is_in_the_shards(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "\x1b[31mred[bold]\N{RIGHT-TO-LEFT OVERRIDE}"
    write_tar(tmp_path / "x.tar", {key: {"png": b"x"}, **{str(n): sample(n) for n in range(60)}})
    failed = {"\x1b[31m" + "a long reason " * 9: 3, "success": 61}
    stats = {"count": 64, "successes": 61, "status_dict": failed}
    (tmp_path / "x_stats.json").write_text(json.dumps(stats))
    assert main([str(tmp_path), f"{world}/shapes", f"{world}/captions"]) == 0
    output = capsys.readouterr().out
    assert "\x1b" not in output and "\N{RIGHT-TO-LEFT OVERRIDE}" not in output
    table, _, lost = output.partition("\nlost\n")
    assert "red[bold]" in lost
    for line in table.splitlines() + lost.splitlines()[2:]:
        assert len(line.rstrip()) <= 80 or line.startswith(str(world)), line


def test_what_img2dataset_says_of_its_downloads(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 2, 1])
    for number, successes in enumerate((3, 2)):
        stats = {
            "count": 5,
            "successes": successes,
            "status_dict": {"success": successes, "HTTP Error 404": 1, "strange": "many"},
        }
        (tmp_path / f"0000{number}_stats.json").write_text(json.dumps(stats))
    assert main([str(tmp_path), "--strict", "--json", f"{tmp_path}/out.json"]) == 0
    (part,) = told(tmp_path / "out.json")
    failed = {"other reasons": 3, "HTTP Error 404": 2}
    assert part["downloads"] == {"shards": 2, "tried": 10, "failed": failed}


def test_repeated_keys_captions_and_images(tmp_path: Path) -> None:
    twice = {"png": png(0), "txt": b"same"}
    write_tar(tmp_path / "0.tar", {"a": twice, "b": twice})
    write_tar(tmp_path / "1.tar", {"a": sample(7)})
    assert main([str(tmp_path), "--json", f"{tmp_path}/out.json"]) == 0
    (part,) = told(tmp_path / "out.json")
    assert part["repeated"] == {"keys": 1, "captions": 1, "images": 1}
    assert part["repeated_is_exact"]


def test_long_captions(tmp_path: Path) -> None:
    # With start and end, 75 words of one token each just fit.
    for number, words in enumerate((75, 76)):
        text = b"cat " * words
        write_tar(tmp_path / f"{number}.tar", {"a": {"png": png(0), "txt": text}})
    assert main([str(tmp_path), "--json", f"{tmp_path}/out.json"]) == 0
    (part,) = told(tmp_path / "out.json")
    assert part["quantiles"]["tokens"]["least"] == 77
    assert part["quantiles"]["tokens"]["greatest"] == 78
    assert part["cut_captions"] == 0.5


def test_a_contact_sheet_with_class_names(world: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert main([f"{world}/shapes/test", "--contact-sheet", str(sheet), "--images", "6"]) == 0
    pixels = np.asarray(Image.open(sheet))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5


def test_shards_behind_http(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tmp_path, [3, 2])
    with serving(tmp_path) as server:
        assert main([f"{server.url}/{{00000..00001}}.tar", "--workers", "1", "--limit", "4"]) == 0
    output = capsys.readouterr().out
    assert "at most 2 samples per shard" in output
    assert "samples  4" in output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["/nowhere/x.tar"], "SHARDS: '/nowhere/x.tar' does not exist"),
        ([".", "--limit", "0"], "--limit=0: must be null or a whole number of at least 1"),
        ([".", "--images", "0"], "--images=0: must be a whole number"),
        ([".", "--workers", "0"], "--workers=0: must be null or a whole number"),
    ],
)
def test_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {error}")


def test_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tar(tmp_path / "x.tar", {"bad": BROKEN["bad"]})
    assert main([str(tmp_path), "--contact-sheet", f"{tmp_path}/sheet.png"]) == 1
    assert "there is no image to show" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, shown in (
        ("--version", f"cyclip-pl {cyclip_pl.__version__}"),
        ("--help", "cyclip-inspect /data/cc3m --limit 2000"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([flag])
        assert ended.value.code == 0
        assert shown in " ".join(capsys.readouterr().out.split())
