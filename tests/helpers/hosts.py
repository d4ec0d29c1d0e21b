"""Two hosts on one machine: a network, a host name and processes of its own each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.helpers.processes import Process


@dataclass
class Host:
    """A network namespace with one end of a cable."""

    name: str
    cable: str
    address: str

    def torchrun(self, rank: int, first: Host, *command: str, port: int = 29511) -> Process:
        """`torchrun` of node `rank` among two, with one process each."""
        namespaces = f"ip netns exec {self.name} unshare --uts --pid --fork --mount-proc"
        named = ("sh", "-c", f'hostname {self.name}; exec "$@"', "sh")
        nodes = ("--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1")
        where = (f"--master-addr={first.address}", f"--master-port={port}")
        torchrun = (sys.executable, "-m", "torch.distributed.run", *nodes, *where)
        started = (*namespaces.split(), "--kill-child", *named, *torchrun, *command)
        return Process(*started, GLOO_SOCKET_IFNAME=self.cable, OMP_NUM_THREADS="1")

    def pull_the_cable(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        _ip("-n", self.name, "link", "set", self.cable, "down")


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with a cable between them; skips where this process may not make them."""
    if not (shutil.which("ip") and shutil.which("unshare") and os.geteuid() == 0):
        pytest.skip("network namespaces need root, ip and unshare")
    mark = os.getpid() % 10_000
    a, b = (
        Host(f"cyclip{mark}{x}", f"cy{mark}{x}", f"10.99.7.{n}") for x, n in (("a", 1), ("b", 2))
    )
    try:
        try:
            for host in (a, b):
                _ip("netns", "add", host.name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
        ends = ("type", "veth", "peer", "name", b.cable, "netns", b.name)
        _ip("link", "add", a.cable, "netns", a.name, *ends)
        for host in (a, b):
            _ip("-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.cable)
            for link in ("lo", host.cable):
                _ip("-n", host.name, "link", "set", link, "up")
        yield a, b
    finally:
        for host in (a, b):
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
