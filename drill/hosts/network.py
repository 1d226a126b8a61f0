"""Machines as network namespaces, each on a cable of its own to one switch."""

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from drill.hosts.apart import run

_NET = "10.77.0"
_SWITCH = "switch"
_NAMED = 'echo "$0" > /proc/sys/kernel/hostname && exec "$@"'
OUR_ADDRESS = f"{_NET}.1"
"""Of the customers, who are beside the switch and never cut off."""


@dataclass(slots=True)
class Host:
    """One machine. ``number`` is the last of its address."""

    name: str
    number: int
    is_cut: bool = False

    @property
    def address(self) -> str:
        return f"{_NET}.{self.number}"

    @property
    def cable(self) -> str:
        """The switch's end of it."""
        return f"to-{self.name}"

    def command(self, command: Sequence[str]) -> list[str]:
        """What runs the command there, under the machine's own name, as the same process."""
        there = ("ip", "netns", "exec", self.name, "unshare", "--uts")
        return [*there, "sh", "-c", _NAMED, self.name, *command]

    def cut(self) -> None:
        """Nothing goes in or out any more, and nobody is told: what is sent is lost."""
        self.is_cut = True
        run("ip", "link", "set", self.cable, "nomaster")

    def mend(self) -> None:
        run("ip", "link", "set", self.cable, "master", _SWITCH)
        self.is_cut = False

    def kill_all(self) -> None:
        """Kill -9 everything there at once, as a machine without power would."""
        for pid in run("ip", "netns", "pids", self.name).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def build_network(hosts: Sequence[Host]) -> None:
    """In the network namespace of this process, with which it vanishes. Raises NotPermitted.

    Everybody knows everybody's hardware address for good. Otherwise who calls a machine that is
    cut off would soon be told that there is none; over the routers of a data centre nobody is.
    """
    run("ip", "link", "add", _SWITCH, "address", _hardware(1), "type", "bridge")
    run("ip", "address", "add", f"{OUR_ADDRESS}/24", "dev", _SWITCH)
    run("ip", "link", "set", _SWITCH, "up")
    for host in hosts:
        _connect(host)
    numbers = [1, *(host.number for host in hosts)]
    for host in hosts:
        _introduce([number for number in numbers if number != host.number], "eth0", host.name)
    _introduce(numbers[1:], _SWITCH)


def _connect(host: Host) -> None:
    run("ip", "netns", "add", host.name)
    ours, theirs = ("link", "add", host.cable, "type", "veth", "peer", "name"), "eth0"
    run("ip", *ours, theirs, "address", _hardware(host.number), "netns", host.name)
    run("ip", "link", "set", host.cable, "master", _SWITCH, "up")
    run("ip", "-n", host.name, "link", "set", "lo", "up")
    run("ip", "-n", host.name, "address", "add", f"{host.address}/24", "dev", theirs)
    run("ip", "-n", host.name, "link", "set", theirs, "up")


def _introduce(numbers: Sequence[int], device: str, name: str | None = None) -> None:
    where = ("-n", name) if name else ()
    for number in numbers:
        to, hardware = f"{_NET}.{number}", _hardware(number)
        run("ip", *where, "neigh", "replace", to, "lladdr", hardware, "dev", device)


def _hardware(number: int) -> str:
    return f"02:00:0a:4d:00:{number:02x}"
