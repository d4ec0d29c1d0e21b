"""The parts of a preparation on the disk, which a later process can go on with."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, NamedTuple

from cyclip_pl.data.prepare.items import BadRow, Item, shown
from cyclip_pl.data.prepare.parts import Parts
from cyclip_pl.data.prepare.report import BAD_ROWS, Report
from cyclip_pl.data.prepare.writer import ShardWriter


class Image(NamedTuple):
    """An image that training can read: extension, bytes, and a digest of the bytes it came as."""

    extension: str
    content: bytes
    digest: bytes


class Output:
    """Writes samples into parts, and bad rows into a list.

    Args:
        folder: The folder that is being made.
        parts: What is made.
        state: What `state()` said when an earlier process stopped.
    """

    def __init__(self, folder: Path, parts: Parts, state: dict[str, Any] | None) -> None:
        self._folder, self._parts = folder, parts
        of_parts = state["parts"] if state else {}
        self._writers = {
            part.folder: ShardWriter(
                folder / part.folder, part.shard_size, part.name, of_parts.get(part.folder)
            )
            for part in parts.all
        }
        self.captions: int = state["captions"] if state else 0
        self._seen: set[str] = set(state["seen"] if state else ())
        self.bad = 0
        self._found = folder / f"{BAD_ROWS}.unsorted"
        self._found.touch()
        os.truncate(self._found, state["bad_bytes"] if state else 0)
        self._bad_rows = open(self._found, "a", newline="", encoding="utf-8")  # noqa: SIM115

    def add(self, item: Item, image: Image) -> bool:
        """Write a sample; returns whether a shard is full."""
        full = False
        for part in self._parts.choose(item, image.digest):
            seen = image.digest.hex()
            if part.unique and seen in self._seen:
                self.leave_out(item, "the same image as another sample's")
                continue
            if part.unique:
                self._seen.add(seen)
            members = part.members(item)
            key = f"{item.number:09d}"
            sample = {image.extension: image.content, **members}
            full |= self._writers[part.folder].add(key, sample)
            self.captions += len(item.captions)
        return full

    def leave_out(self, entry: Item | BadRow, reason: str) -> None:
        """List the rows of an entry as bad."""
        numbers = [entry.number] if isinstance(entry, BadRow) else entry.rows or (entry.number,)
        rows = csv.writer(self._bad_rows, lineterminator="\n")
        for number in numbers:
            rows.writerow([number, shown(entry.image), reason])
            self.bad += 1

    def state(self) -> dict[str, Any]:
        """What a later process needs to go on from here; all of it is on the disk then."""
        self._bad_rows.flush()
        os.fsync(self._bad_rows.fileno())
        return {
            "parts": {folder: writer.state() for folder, writer in self._writers.items()},
            "captions": self.captions,
            "seen": sorted(self._seen),
            "bad_bytes": self._bad_rows.tell(),
        }

    def abandon(self) -> None:
        """Close all files as they are."""
        for writer in self._writers.values():
            writer.abandon()
        self._bad_rows.close()

    def finish(self, report: Report) -> None:
        """End all shards, write what stands beside them, and fill in the report."""
        self._bad_rows.close()
        with open(self._found, newline="", encoding="utf-8") as file:
            found = [BadRow(int(row[0]), row[1], row[2]) for row in csv.reader(file)]
        report.bad_rows = sorted(found)
        with open(self._folder / BAD_ROWS, "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow([report.unit, "image", "reason"])
            rows.writerows(report.bad_rows)
        report.captions = self.captions
        for part in self._parts.all:
            writer = self._writers[part.folder]
            writer.close()
            if writer.sizes:
                part.finish(self._folder, writer.sizes)
                report.parts[part.folder] = writer.sizes
            elif part.folder != ".":
                (self._folder / part.folder).rmdir()
        if report.parts:
            self._parts.finish(self._folder)

    def clear(self) -> None:
        """Remove what only a later process would need."""
        self._found.unlink()
