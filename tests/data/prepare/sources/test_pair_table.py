from __future__ import annotations

import re
from pathlib import Path

import pytest

from cyclip_pl.data.prepare.items import BadRow
from cyclip_pl.data.prepare.sources.columns import Columns
from cyclip_pl.data.prepare.sources.indexed import Row
from cyclip_pl.data.prepare.sources.pair_table import (
    digest,
    find_delimiter,
    read_rows,
    resolve_quoting,
)

KEYS = Columns()


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "pairs.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(path: Path, delimiter: str = ",", quoting: str = "csv") -> list[Row | BadRow]:
    return list(read_rows(path, delimiter, quoting, KEYS))


@pytest.mark.parametrize(
    ("header", "character"),
    [
        ("image,caption", ","),
        ("id\timage\tcaption", "\t"),
        ('"a,b";image;caption', ";"),
        ("caption|image", "|"),
        ("image;caption;a,b,c,d", ";"),
        ("\ufeffimage,caption", ","),
        (" caption ; image", ";"),
    ],
)
def test_auto_finds_the_delimiter_that_gives_the_columns(tmp_path, header, character) -> None:
    assert find_delimiter(write(tmp_path, header + "\n"), "auto", KEYS) == character


@pytest.mark.parametrize("given", ["tab", "\\t", "\t"])
def test_a_delimiter_by_name_or_character(tmp_path, given) -> None:
    assert find_delimiter(write(tmp_path, "image\tcaption\n"), given, KEYS) == "\t"


@pytest.mark.parametrize(
    ("header", "delimiter", "message"),
    [
        ("image,text", "auto", r"--caption-key 'caption': no such column.*'image', 'text'$"),
        ("a\tb\tcaption", "auto", r"--image-key 'image': no such column.*'a', 'b', 'caption'$"),
        ("image,caption", "tab", r"--image-key 'image'.*columns: 'image,caption'$"),
        ("image,caption,image", "auto", r"--image-key 'image'.*2 such columns"),
        ("", "auto", r"no such column.*columns: none$"),
        ("image,caption", "both", r"--delimiter 'both'"),
        ("image,caption", '"', r"--delimiter '\"'"),
    ],
)
def test_a_header_that_does_not_serve_is_one_line(tmp_path, header, delimiter, message) -> None:
    with pytest.raises(ValueError, match=message) as error:
        find_delimiter(write(tmp_path, header), delimiter, KEYS)
    assert "\n" not in str(error.value)


def test_good_and_bad_rows_with_their_lines(tmp_path) -> None:
    path = write(
        tmp_path,
        b"\xef\xbb\xbfimage,caption\r\n"
        b"a.jpg,plain\r\n"
        b'b.jpg,"two\nlines, quoted ""so"""\r\n'
        b"\r\n"
        b"c.jpg\r\n"
        b"d.jpg,too,many\r\n"
        b"e.jpg,  \r\n"
        b",caption\r\n"
        b"f.jpg,caf\xe9\r\n"
        b" g.jpg , caf\xc3\xa9 \r\n",
    )
    assert rows(path) == [
        Row(2, "a.jpg", ("plain",)),
        Row(3, "b.jpg", ('two\nlines, quoted "so"',)),
        BadRow(6, "", "1 columns, the header has 2"),
        BadRow(7, "", "3 columns, the header has 2"),
        BadRow(8, "e.jpg", "empty caption"),
        BadRow(9, "", "no image path"),
        BadRow(10, "f.jpg", "caption is not UTF-8"),
        Row(11, "g.jpg", ("café",)),
    ]


def test_other_columns_and_their_order_do_not_matter(tmp_path) -> None:
    path = write(tmp_path, "caption,score,image\none,0.5,a.jpg\n")
    assert rows(path) == [Row(2, "a.jpg", ("one",))]


def test_what_pandas_would_read(tmp_path) -> None:
    """The authors' code reads its tables with pandas."""
    pandas = pytest.importorskip("pandas")
    path = write(tmp_path, 'image,caption\na/1.jpg,"x, y"\nb.jpg,"say ""hi"""\nc.jpg,z\n')
    table = pandas.read_csv(path, sep=",")
    found = [(row.image, *row.texts) for row in rows(path) if isinstance(row, Row)]
    assert found == list(zip(table["image"], table["caption"], strict=True))


def test_a_long_caption_and_a_nul_do_not_end_the_table(tmp_path) -> None:
    long = "x" * 200_000
    path = write(tmp_path, f"image,caption\na.jpg,{long}\nb.jpg,nul\0\nc.jpg,last\n")
    read = rows(path)
    nul = BadRow(3, "", "NUL bytes, so it is not UTF-8 text")
    assert read == [Row(2, "a.jpg", (long,)), nul, Row(4, "c.jpg", ("last",))]


@pytest.mark.parametrize(
    ("quoting", "found", "said"),
    [
        ("auto", "text", "2 rows have .* kept as text \\(--quoting csv reads them otherwise"),
        ("csv", "csv", "^$"),
        ("text", "text", "^$"),
    ],
)
def test_the_choice_about_marks_is_told(tmp_path, quoting, found, said) -> None:
    path = write(tmp_path, 'image\tcaption\na.jpg\t"a" b\nb.jpg\t"c\n')
    choice, note = resolve_quoting(path, "\t", quoting, "image", tmp_path)
    assert choice == found and re.search(said, note)


def test_what_cannot_be_told_is_asked(tmp_path) -> None:
    path = write(tmp_path, 'image,caption\na.jpg,"x, y"\nb.jpg,"open\nc.jpg,closed"\n')
    resolve_quoting(path, ",", "auto", "image", tmp_path)  # there is no c.jpg
    (tmp_path / "c.jpg").touch()
    with pytest.raises(ValueError, match=r"pairs\.csv, line 3: .*; pass --quoting text if"):
        resolve_quoting(path, ",", "auto", "image", tmp_path)
    with pytest.raises(ValueError, match=r"--quoting=none: must be one of auto, csv, text$"):
        resolve_quoting(path, ",", "none", "image", tmp_path)


def test_digest_is_of_the_bytes(tmp_path) -> None:
    first = digest(write(tmp_path, "a"))
    assert first != digest(write(tmp_path, "b")) and first == digest(write(tmp_path, "a"))
