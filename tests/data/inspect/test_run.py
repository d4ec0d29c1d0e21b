from __future__ import annotations

import os
from pathlib import Path

import pytest

from cyclip_pl.data.inspect.findings import MOST_TOLD, Findings, Lost, Total
from cyclip_pl.data.inspect.plan import jobs_of
from cyclip_pl.data.inspect.run import Job, looked_at, workers_for
from cyclip_pl.data.inspect.shard import Look
from cyclip_pl.data.inspect.sources import CLASSIFICATION, TRAINING, Part
from tests.data.shards import png, write_shards, write_tar


def part(folder: Path) -> Part:
    return Part("x", TRAINING, tuple(str(path) for path in sorted(folder.glob("*.tar"))))


def jobs(folder: Path, limit: int | None = None) -> list[Job]:
    return jobs_of([part(folder)], None, limit, shown=3, seed=0)


@pytest.mark.slow
def test_processes_find_what_one_finds(tmp_path: Path) -> None:
    for number, size in enumerate((3, 4, 0, 5, 2)):
        labels = {f"{number}{n}": {"png": png(n), "cls": b"0"} for n in range(size)}
        write_tar(tmp_path / f"{number}.tar", labels)
    (tmp_path / "1.tar").write_bytes(b"no tar" * 100)
    look = Look(CLASSIFICATION, ("cat",), shown=3)  # captions would need a tokenizer: seconds
    urls = enumerate(part(tmp_path).urls)
    some = [Job(0, number, url, None, look) for number, url in urls]
    totals = [Total(shown=3) for _ in range(2)]
    for total, workers in zip(totals, (1, 2), strict=True):
        for job, found in looked_at(some, workers):
            total.add(job.number, found)
    alone, together = totals
    assert alone.samples == together.samples == 10
    assert alone.lost == together.lost and alone.lost
    assert alone.told == together.told
    assert alone.shown == together.shown and len(alone.shown) == 3
    assert alone.distributions == together.distributions


@pytest.mark.slow
def test_a_process_that_dies_is_one_line() -> None:
    # As the kernel does where the memory runs out: this pipe's reader ends its own process.
    kill = "pipe:kill -9 $PPID"
    some = [Job(0, n, kill, None, Look(CLASSIFICATION)) for n in range(2)]
    with pytest.raises(ValueError, match=r"a reading process died there .* --workers 1"):
        list(looked_at(some, 2))


@pytest.mark.parametrize(
    ("limit", "each", "shards"), [(None, None, 5), (10, 2, 5), (11, 3, 5), (3, 1, 5), (2, 1, 3)]
)
def test_a_limit_is_spread_over_the_shards(
    tmp_path: Path, limit: int | None, each: int | None, shards: int
) -> None:
    write_shards(tmp_path, [3, 3, 3, 3, 3])
    found = jobs(tmp_path, limit)
    assert len(found) == shards
    assert {job.look.limit for job in found} == {each}


def test_counts_come_from_the_files_beside_the_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, [3, 3, 3])
    (tmp_path / "sizes.json").write_text('{"00000.tar": 0}')
    (tmp_path / "00000_stats.json").write_text('{"successes": 8}')
    (tmp_path / "00001_stats.json").write_text('{"successes": 8}')
    assert [job.counted for job in jobs(tmp_path)] == [0, 8, None]


def test_small_sets_need_no_processes(tmp_path: Path) -> None:
    write_shards(tmp_path, [1, 1])
    assert workers_for(jobs(tmp_path)) == 1
    os.truncate(tmp_path / "00001.tar", 1 << 27)
    assert workers_for(jobs(tmp_path)) == len(os.sched_getaffinity(0))
    remote = [Job(0, 0, "http://host/0.tar", None, Look(TRAINING))]
    assert workers_for(remote) == len(os.sched_getaffinity(0))


def test_what_is_told_does_not_depend_on_the_order_and_is_bounded() -> None:
    found = []
    for shard in range(3):
        one = Findings()
        for sample in range(MOST_TOLD):
            one.lose(Lost(f"{shard}.tar", f"{sample}", "undecodable image"))
        found.append(one)
    forward, backward = Total(), Total()
    for shard in range(3):
        forward.add(shard, found[shard])
        backward.add(2 - shard, found[2 - shard])
    assert forward.told == backward.told
    assert len(forward.told) == MOST_TOLD
    assert forward.lost.total() == 3 * MOST_TOLD
