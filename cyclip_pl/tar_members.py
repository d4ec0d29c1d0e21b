"""Members of a tar from its headers alone, several times as fast as `tarfile`.

Counting a large data set reads every header. The plain case (ustar, GNU long names, pax paths) is
read here; `tarfile` reads everything else, compression included.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

_BLOCK = tarfile.BLOCKSIZE
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_BODY = (b"1", b"2", b"3", b"4", b"5", b"6")  # links, devices, folders, pipes
# Bytes of a header with the next member's name or size; a hostile one must not fill the memory.
_LONGEST_EXTENSION = 1 << 20


class Member(NamedTuple):
    """A regular file in a tar: `size` bytes from byte `offset`."""

    name: str
    offset: int
    size: int


class _NotPlain(Exception):
    """Not the plain case: `tarfile` must read it."""


def members(path: str, strict: bool = False) -> Iterator[Member]:
    """The regular files in a tar, in order; gzip, bzip2 and xz are opened as well.

    A malformed tar ends where WebDataset ends. Strict reading refuses it, as well as compression,
    and leaves out sparse files: their bytes are not in the tar as they are.

    Raises:
        OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError: It is not a tar, or is cut
            short; the members up to there have been given.
    """
    given = 0
    try:
        for member in _plain(path, strict):
            yield member
            given += 1
    except _NotPlain:
        yield from islice(_any(path, strict), given, None)


def _any(path: str, strict: bool) -> Iterator[Member]:
    with tarfile.open(path, "r:" if strict else "r:*") as tar:
        last = -1
        while (info := tar.next()) is not None:
            if info.offset <= last:  # a negative size: this would never end
                raise tarfile.ReadError(f"damaged at byte {last}")
            last = info.offset
            tar.members = []  # type: ignore[attr-defined]  # or it keeps every header
            if info.isreg() and not (strict and info.issparse()):
                yield Member(info.name, info.offset_data, info.size)
        if strict:
            # tarfile takes a damaged header for the end of the tar.
            with open(path, "rb") as file:
                file.seek(tar.offset)
                _check_end(file.read(_BLOCK), tar.offset)


def _check_end(mark: bytes, offset: int) -> None:
    if mark.count(0) < _BLOCK:
        raise tarfile.ReadError(f"damaged or cut short at byte {offset}")


def _plain(path: str, strict: bool) -> Iterator[Member]:
    end = os.path.getsize(path)
    with open(path, "rb") as file:
        offset, long_name, long_size = 0, None, None
        while True:
            header = file.read(_BLOCK)
            if len(header) < _BLOCK or header.count(0) == _BLOCK or not _checks(header):
                if offset == 0:
                    raise _NotPlain
                if strict:
                    _check_end(header, offset)
                return
            kind, size = header[156:157], _number(header[124:136])
            if kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                if size > _LONGEST_EXTENSION:
                    raise _NotPlain
                body = file.read(size)
                if kind == tarfile.XHDTYPE:
                    pax = _pax(body)
                    long_name = _text(pax[b"path"]) if b"path" in pax else long_name
                    long_size = _number(pax[b"size"], 10) if b"size" in pax else long_size
                elif kind == tarfile.GNUTYPE_LONGNAME:
                    long_name = _text(body)
                offset += _BLOCK + size + -size % _BLOCK
                file.seek(offset)
                continue
            if kind not in _REGULAR and kind not in _WITHOUT_BODY:
                raise _NotPlain
            name = long_name or _text(header[:100])
            if not long_name and (prefix := _text(header[345:500])):
                name = f"{prefix}/{name}"
            size = size if long_size is None else long_size
            long_name = long_size = None
            offset += _BLOCK
            # For tarfile, the old form of a regular file is a folder if its name ends in a slash.
            if kind in _REGULAR and not (kind == tarfile.AREGTYPE and name.endswith("/")):
                yield Member(name, offset, size)
            if kind in _REGULAR:
                offset += size + -size % _BLOCK
            if offset > end:
                raise tarfile.ReadError("unexpected end of data")
            file.seek(offset)


def _checks(header: bytes) -> bool:
    try:
        stated = _number(header[148:156])
    except _NotPlain:
        return False
    # The checksum's own 8 bytes count as spaces (32 each).
    return stated == sum(header) - sum(header[148:156]) + 256


def _number(field: bytes, base: int = 8) -> int:
    digits = field.split(b"\0", 1)[0].strip()
    try:
        number = int(digits, base) if digits else 0
    except ValueError:  # the binary form, used beyond 8 GiB
        raise _NotPlain from None
    if number < 0:
        raise _NotPlain
    return number


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pax(body: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: `LENGTH KEY=VALUE` and a line feed."""
    records: dict[bytes, bytes] = {}
    while body and body[0] != 0:
        length, separator, _ = body.partition(b" ")
        if not separator or not length.isdigit() or not 4 < int(length) <= len(body):
            raise _NotPlain
        record, body = body[len(length) + 1 : int(length)], body[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise _NotPlain
        records[key] = value
    return records
