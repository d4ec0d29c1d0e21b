"""The members of a tar, in order: one reader for counting, training and evaluation.

A tar ends cleanly with a block of zeros, as POSIX asks for, and zeros alone behind it, no more than
tar's padding. `BrokenTar` tells any other end with its place: a tar that stops at a member's header
may have lost members, and so may one with zeros among its members.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

CUT, DAMAGED, UNREADABLE = "cut shard", "damaged shard", "unreadable shard"

_BLOCK = tarfile.BLOCKSIZE
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_WITHOUT_BODY = (*_LINKS, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
# Two blocks of zeros, and zeros up to a multiple of 10,240 bytes.
_MOST_ZEROS = 21 * _BLOCK
# What a hostile tar may put into the memory: a name or a size, and a member.
_LONGEST_EXTENSION = 1 << 20
_LONGEST_NAME = 4096  # of a path in Linux
LARGEST_MEMBER = 1 << 28
_CHUNK = 1 << 20

# What a compressed file begins with, and who unpacks it.
_PACKED = {
    re.compile(rb"\x1f\x8b\x08"): "gzip",
    re.compile(rb"BZh[1-9]1AY&SY"): "bz2",
    re.compile(rb"\xfd7zXZ|\x5d\0\0\x80"): "lzma",
    re.compile(rb"\x28\xb5\x2f\xfd"): "compression.zstd",  # Python 3.14
}
_LONGEST_MARK = 10


class Member(NamedTuple):
    """A file in a tar: `size` bytes from byte `offset`.

    Attributes:
        data: Its bytes, if they were wanted.
        lacks: What stands there in place of its bytes, such as a link; else empty.
    """

    name: str
    offset: int
    size: int
    data: bytes | None = None
    lacks: str = ""


class BrokenTar(Exception):
    """A tar that cannot be read to its end; the text says why, and at which byte.

    Args:
        cause: What the loss is counted under: `CUT`, `DAMAGED` or `UNREADABLE`.
    """

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause

    def after(self, samples: int) -> str:
        """The text, with the number of samples that were read."""
        number = f"{samples} sample{'s' * (samples != 1)}"
        return f"{self}, after {number}" if samples else str(self)


def unpacked(stream: Any) -> Any:
    """The same bytes, without compression by gzip, bzip2 or xz (zstd from Python 3.14 on)."""
    first = stream.read(_LONGEST_MARK)
    if _size(stream) is None:
        stream = _Joined(first, stream)
    else:
        stream.seek(0)
    if (kind := _packed(first)) is None:
        return stream
    try:
        return import_module(kind).open(stream)
    except ImportError:
        raise BrokenTar(UNREADABLE, "zstd needs Python 3.14; unpack it with zstd -d") from None


def _packed(first: bytes) -> str | None:
    return next((kind for mark, kind in _PACKED.items() if mark.match(first)), None)


def members(stream: Any, wanted: Callable[[str], bool] = lambda name: False) -> Iterator[Member]:
    """The files in a tar, links among them, in order: each only after it was found to be whole.

    Args:
        stream: At the tar's first byte. It is read forward; bytes that nobody wants are skipped.
        wanted: Whether the bytes of the member of this name are.

    Raises:
        BrokenTar: It does not end cleanly; the members up to there have been given.
    """
    source = _Source(stream)
    padding = 0
    name, size, sparse = None, None, False  # from headers that precede the member's own
    while True:
        header = source.read(padding + _BLOCK)[padding:]
        if not _valid(header):
            _check_end(source, header)
            return
        start = source.at - _BLOCK
        kind = header[156:157]
        try:
            length = _number(header[124:136])
            if kind in _PAX or kind == tarfile.GNUTYPE_LONGNAME:
                body = _extension(source, length)
                padding = -length % _BLOCK
                if kind == tarfile.GNUTYPE_LONGNAME:
                    name = _path(body)
                    continue
                records = _records(body)
                if b"path" in records:
                    name = _path(records[b"path"])
                if b"size" in records:
                    size = _number(records[b"size"], 10)
                if any(key.startswith(b"GNU.sparse") for key in records):
                    name, sparse = _path(records.get(b"GNU.sparse.name", b"")) or name, True
                continue
        except ValueError:
            raise BrokenTar(DAMAGED, f"damaged header at byte {start}") from None
        if kind == tarfile.GNUTYPE_SPARSE:
            sparse, more = True, header[482]
            while more and len(block := source.read(_BLOCK)) == _BLOCK:
                more = block[504]
        if kind in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            _skip(source, length, "a header")
            padding = -length % _BLOCK
            continue
        length = 0 if kind in _WITHOUT_BODY else length if size is None else size
        padding = -length % _BLOCK
        shown = _name(header) if name is None else name
        lacks = "link" if kind in _LINKS else "sparse file" if sparse else ""
        regular = kind in _REGULAR and not (kind == tarfile.AREGTYPE and shown.endswith("/"))
        offset, data = source.at, None
        if regular and not lacks and wanted(shown):
            if length > LARGEST_MEMBER:
                lacks = f"file over {LARGEST_MEMBER >> 20} MiB"
            elif len(data := source.read(length)) < length:
                raise _cut(source, shown)
        if data is None:
            _skip(source, length, shown)
        if regular or lacks:
            yield Member(shown, offset, length, data, lacks)
        name, size, sparse = None, None, False


class _Joined:
    """A stream whose first bytes were read already."""

    def __init__(self, first: bytes, rest: Any) -> None:
        self._first, self._rest = first, rest

    def read(self, size: int) -> bytes:
        first, self._first = self._first[:size], self._first[size:]
        return first + self._rest.read(size - len(first)) if first else self._rest.read(size)


def _size(stream: Any) -> int | None:
    """The size of a plain file; None for what cannot jump."""
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        status = os.fstat(stream.fileno())
        return status.st_size if stat.S_ISREG(status.st_mode) else None
    return None


class _Source:
    """Reads forward; `at` is the number of bytes read or skipped."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._end = _size(stream)
        self.at = 0

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end."""
        if self._end is not None:
            # A damaged size must not ask for memory.
            size = max(0, min(size, self._end - self.at))
        try:
            data = self._stream.read(min(size, _CHUNK))
            if len(data) == _CHUNK < size:
                parts = [data]
                while size > (given := sum(map(len, parts))) and parts[-1]:
                    parts.append(self._stream.read(min(size - given, _CHUNK)))
                data = b"".join(parts)
        except EOFError:
            raise BrokenTar(CUT, f"compressed file cut, at byte {self.at} unpacked") from None
        except (zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            text = f"damaged compression ({error}), at byte {self.at} unpacked"
            raise BrokenTar(DAMAGED, text) from error
        except OSError as error:
            text = error.strerror or str(error) or type(error).__name__
            raise BrokenTar(UNREADABLE, f"{text}, at byte {self.at}") from error
        self.at += len(data)
        return data

    def skip(self, size: int) -> bool:
        """Whether there were `size` bytes to skip."""
        if self._end is not None:
            left = max(0, min(size, self._end - self.at))
            self._stream.seek(left, 1)
            self.at += left
            return left == size
        while size and (data := self.read(min(size, _CHUNK))):
            size -= len(data)
        return size == 0


def _extension(source: _Source, size: int) -> bytes:
    if size > _LONGEST_EXTENSION:
        raise ValueError
    body = source.read(size)
    if len(body) < size:
        raise _cut(source, "a header")
    return body


def _skip(source: _Source, size: int, name: str) -> None:
    if not source.skip(size):
        raise _cut(source, name)


def _cut(source: _Source, name: str) -> BrokenTar:
    return BrokenTar(CUT, f"cut at byte {source.at}, inside {name}")


def _check_end(source: _Source, block: bytes) -> None:
    """Raise unless what begins with this block, which is not a header, ends a tar."""
    start = source.at - len(block)
    if any(block):
        if start == 0:
            begins = f"it begins with {block[:16]!r}"
            text = "it is compressed; unpack it" if _packed(block) else begins
            raise BrokenTar(UNREADABLE, f"not a tar: {text}")
        if len(block) < _BLOCK:
            raise BrokenTar(CUT, f"cut at byte {source.at}, inside a header")
        raise BrokenTar(DAMAGED, f"damaged header at byte {start}")
    if not block:
        if start == 0:
            raise BrokenTar(UNREADABLE, "it is empty")
        raise BrokenTar(CUT, f"cut at byte {start}: no end mark after the last member")
    while block:
        if any(block):
            text = f"zeros from byte {start} on, and then data"
            raise BrokenTar(DAMAGED, f"{text}: damage, or tars joined without tar --concatenate")
        if source.at - start > _MOST_ZEROS:
            raise BrokenTar(
                DAMAGED, f"zeros from byte {start} on, more than the padding of tar -b 20"
            )
        block = source.read(_BLOCK)


def _valid(header: bytes) -> bool:
    """Whether it is a header with the checksum that it states."""
    if len(header) < _BLOCK:
        return False
    field = header[148:156]
    try:
        stated = _number(field)
    except ValueError:
        return False
    # The checksum's own 8 bytes count as spaces (32 each). Old programs sum signed bytes.
    total = sum(header) - sum(field) + 256
    return stated == total or stated == total - 256 * sum(byte > 127 for byte in header)


def _number(field: bytes, base: int = 8) -> int:
    if field[:1] == b"\x80":  # the binary form, used beyond 8 GiB
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip()
    number = int(digits, base) if digits else 0
    if number < 0:
        raise ValueError
    return number


def _name(header: bytes) -> str:
    name = _text(header[:100])
    # GNU's own form keeps times there.
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _path(field: bytes) -> str:
    if len(path := _text(field)) > _LONGEST_NAME:
        raise ValueError
    return path


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _records(body: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: `LENGTH KEY=VALUE` and a line feed.

    Raises:
        ValueError: They are malformed.
    """
    records: dict[bytes, bytes] = {}
    while body and body[0] != 0:
        length, separator, _ = body.partition(b" ")
        if not separator or not length.isdigit() or not 4 < int(length) <= len(body):
            raise ValueError
        record, body = body[len(length) + 1 : int(length)], body[int(length) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        records[key] = value
    return records
