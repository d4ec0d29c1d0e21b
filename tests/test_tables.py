"""Tables of all kinds: whatever wrote them, no row is lost in silence."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from cyclip_pl.tables import find_quoting, read_header, read_table

HEADER = ["image", "caption", "n"]


def is_row(fields: list[str]) -> bool:
    return fields[0].endswith(".png")


def written(path: Path, content: str) -> Path:
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return path


def read(path: Path, delimiter: str = ",") -> list[list[str] | str]:
    quoting, _ = find_quoting(path, delimiter, is_row)
    return [row.problem or row.fields for row in read_table(path, delimiter, quoting)]


def texts(rng: random.Random, alphabet: str, count: int) -> list[list[str]]:
    return [
        [f"{n}.png", "".join(rng.choices(alphabet, k=rng.randint(1, 9))), str(n)]
        for n in range(count)
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_what_a_csv_writer_wrote_is_read_as_it_was(tmp_path, delimiter, quoting) -> None:
    rng = random.Random(0)
    for _ in range(100):
        rows = [HEADER, *texts(rng, f'abcd ""{delimiter}\n', rng.randint(1, 8))]
        out = io.StringIO()
        end = rng.choice(["\n", "\r\n"])
        csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
        assert read(written(tmp_path / "t", out.getvalue()), delimiter) == rows


@pytest.mark.parametrize("delimiter", ["\t", "|", ","])
def test_what_a_hand_wrote_loses_no_row(tmp_path, delimiter) -> None:
    rng = random.Random(1)
    for _ in range(300):
        rows = [HEADER, *texts(rng, 'abcd  """', rng.randint(1, 8))]
        content = "".join(f"{delimiter.join(row)}\n" for row in rows)
        found = read(written(tmp_path / "t", content), delimiter)
        assert len(found) == len(rows)
        for row, wanted in zip(found, rows, strict=True):
            # Whole fields in marks may be what a writer wrote; find_quoting says how many.
            assert [field.replace('"', "") for field in row] == [
                field.replace('"', "") for field in wanted
            ]


def test_marks_in_a_tsv(tmp_path) -> None:
    captions = ["plain", '"Great" he said', '"never closed', 'a 5" nail', "last"]
    content = "".join(f"{n}.png\t{caption}\n" for n, caption in enumerate(captions))
    path = written(tmp_path / "t", f"image\tcaption\n{content}")
    assert find_quoting(path, "\t", is_row) == ("text", 2)
    assert [row[1] for row in read(path, "\t")[1:]] == captions


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('i,c\n0.png,"Great"\n1.png,x\n', ("csv", 1)),  # a custom
        ('i\tc\n0.png\t"Great"\n1.png\tx\n', ("text", 1)),
        ('i\tc\n0.png\t"Great"\n1.png\t"x"\n', ("csv", 2)),  # all of them
        ('"i"\t"c"\n0.png\t"Great"\n1.png\tx\n', ("csv", 2)),  # the header as well
        ('i\tc\n0.png\t"say ""x"""\n1.png\tx\n', ("csv", 1)),
        ('i,c\n0.png,"a, b"\n1.png,"c" d\n2.png,"e, f"\n', ("csv", 3)),
        ('i,c\n0.png,"a\n1.png,b"\n', ("text", 1)),  # rows, as their images are there
        ('i,c\n0.png,"a\nso, b"\n', ("csv", 1)),
        ("i,c\n0.png,x\n", ("csv", 0)),
        ("", ("csv", 0)),
    ],
)
def test_how_marks_are_meant(tmp_path, content: str, found: tuple[str, int]) -> None:
    delimiter = "\t" if "\t" in content else ","
    assert find_quoting(written(tmp_path / "t", content), delimiter, is_row) == found


def test_what_could_lose_a_row_is_not_decided(tmp_path) -> None:
    path = written(tmp_path / "t", 'i,c\n0.png,"a, b"\n1.png,"open\n2.png,closed"\n')
    with pytest.raises(ValueError, match=r"t, line 3: a quotation mark opens .* rows between$"):
        find_quoting(path, ",", is_row)


def test_reading_goes_on_behind_what_is_not_a_row(tmp_path) -> None:
    content = (
        "\ufeffi,c\r\n\r\n0.png\r\n1.png,a,b\r\n2.png,nul\0\r\n"
        '3.png,"a" b\r\n4.png,"two\r\nlines, x"\r\n5.png,"never closed\r\n6.png,end'
    )
    rows = read_table(written(tmp_path / "t", content), ",", "csv")
    assert [(row.number, row.problem or row.fields) for row in rows] == [
        (1, ["i", "c"]),
        (3, "1 columns, the header has 2"),
        (4, "3 columns, the header has 2"),
        (5, "NUL bytes, so it is not UTF-8 text"),
        (6, "misplaced quotation mark"),
        (7, ["4.png", "two\nlines, x"]),
        (9, "misplaced quotation mark"),
        (10, ["6.png", "end"]),
    ]


def test_long_fields_and_other_ends_of_lines(tmp_path) -> None:
    long = "x" * 200_000
    content = f'i,c\n0.png,{long}\n1.png,"{long}, y"\n2.png,a\u2028b\x0bc\x85d\re\n'
    found = read(written(tmp_path / "t", content))
    assert found[1:] == [
        ["0.png", long], ["1.png", f"{long}, y"], ["2.png", "a\u2028b\x0bc\x85d\re"],
    ]  # fmt: skip


def test_the_header(tmp_path) -> None:
    for content, names in (
        ("", []),
        ("\ufeffa, b \r\n", ["a", "b"]),
        ('"a","b, c"\n', ["a", "b, c"]),
        ('"an open mark,a\n' + "x,y\n" * 50_000, ['"an open mark', "a"]),
    ):
        assert read_header(written(tmp_path / "t", content), ",") == names
    (tmp_path / "t").write_bytes("a,b\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"t, line 1: NUL bytes, so it is not UTF-8 text$"):
        read_header(tmp_path / "t", ",")
