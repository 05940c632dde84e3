"""Samples of this machine, by psutil: CPU per core, memory, disks and network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import psutil

_IGNORED_DISKS = ("loop", "ram", "zram", "dm-")


@dataclass(frozen=True)
class Sample:
    """One value of one thing: percent, bytes, or bytes per second, as `metric` says."""

    metric: str
    device: str
    value: float


class HostSampler:
    """Takes a sample at every call of `sample()`; rates are since the call before."""

    def __init__(self) -> None:
        psutil.cpu_percent(percpu=True)
        self._counters = _read_counters()
        self._taken_at = time.monotonic()

    def sample(self) -> list[Sample]:
        """Read the machine now."""
        return [*_processor(), *_memory(), *self._rates()]

    def _rates(self) -> list[Sample]:
        counters, taken_at = _read_counters(), time.monotonic()
        seconds = max(taken_at - self._taken_at, 0.001)
        # A counter that went down belongs to a device that was unplugged and came back.
        samples = [
            Sample(counter.metric, counter.device, (value - self._counters[counter]) / seconds)
            for counter, value in counters.items()
            if self._counters.get(counter, value + 1) <= value
        ]
        self._counters, self._taken_at = counters, taken_at
        return samples


class _Counter(NamedTuple):
    metric: str
    device: str


def _processor() -> list[Sample]:
    return [
        Sample("cpu_percent", f"cpu{number}", percent)
        for number, percent in enumerate(psutil.cpu_percent(percpu=True))
    ]


def _memory() -> list[Sample]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return [
        Sample("memory_used_bytes", "memory", float(memory.total - memory.available)),
        Sample("memory_percent", "memory", memory.percent),
        Sample("memory_used_bytes", "swap", float(swap.used)),
    ]


def _read_counters() -> dict[_Counter, int]:
    """Everything that only ever counts up; containers may have no disks or no network."""
    counters: dict[_Counter, int] = {}
    disks = psutil.disk_io_counters(perdisk=True) or {}
    for disk in _whole_disks(set(disks)):
        counters[_Counter("disk_read_bytes_per_s", disk)] = disks[disk].read_bytes
        counters[_Counter("disk_write_bytes_per_s", disk)] = disks[disk].write_bytes
    for interface, net in (psutil.net_io_counters(pernic=True) or {}).items():
        if net.bytes_recv or net.bytes_sent:
            counters[_Counter("net_received_bytes_per_s", interface)] = net.bytes_recv
            counters[_Counter("net_sent_bytes_per_s", interface)] = net.bytes_sent
    return counters


def _whole_disks(names: set[str]) -> list[str]:
    """Without partitions (sda1 of sda, nvme0n1p2 of nvme0n1) and without virtual devices."""
    return sorted(
        name
        for name in names
        if not name.startswith(_IGNORED_DISKS)
        and not any(name != other and name.startswith(other) for other in names)
    )
