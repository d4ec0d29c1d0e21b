"""Whether a file of weights is whole: its records against the checksums that torch stored."""

from __future__ import annotations

import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from cyclip_pl.files import reason

_CHUNK = 1 << 20


def damage(file: Path | BinaryIO) -> str | None:
    """What is wrong with a file of `torch.save`, or None.

    The file is a zip archive, which has a CRC-32 of every record; torch does not look at it when
    it loads. This reads the whole file, once until it changes.
    """
    if not isinstance(file, Path):
        return _damage(file)
    try:
        status = file.stat()
    except OSError as error:
        return error.strerror or reason(error)
    return _damage_of_path(file, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=16)
def _damage_of_path(path: Path, *version: int) -> str | None:
    try:
        with path.open("rb") as file:
            return _damage(file)
    except OSError as error:
        return error.strerror or reason(error)


def _damage(file: BinaryIO) -> str | None:
    size = file.seek(0, os.SEEK_END)
    if not size:
        return "it is empty"
    try:
        with zipfile.ZipFile(file) as archive:
            # TorchScript compresses its code, which nothing here reads.
            records = [r for r in archive.infolist() if not _is_code(r)]
            # As torch writes them, and so that no record can claim more than the file holds.
            plain = all(r.compress_type == 0 and r.compress_size == r.file_size for r in records)
            if not plain or sum(record.file_size for record in records) > size:
                return "its list of records is damaged"
            for record in records:
                with archive.open(record) as stream:
                    while stream.read(_CHUNK):
                        pass
    except zipfile.BadZipFile as error:
        if "CRC-32" in str(error):
            return f"the checksum of its record {record.filename} differs"
        return "it is cut short or not a checkpoint"
    except OSError:
        raise  # the disk's, not the file's
    except Exception as error:  # for damaged bytes zipfile raises many types, struct.error too
        return f"its list of records is damaged ({reason(error)})"
    return None


def _is_code(record: zipfile.ZipInfo) -> bool:
    return "/code/" in record.filename and record.compress_type != zipfile.ZIP_STORED
