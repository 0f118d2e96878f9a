"""The standard metrics of processes: `process_…`, from ``/proc``.

A process that serves alone tells its own, without labels, as every program does, and those of its garbage collector.
With workers there is a series for each process, with the label ``process``: "supervisor", or the worker's slot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


def one_process() -> CollectorRegistry:
    """Of this process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def processes(pids: Callable[[], dict[str, int]]) -> CollectorRegistry:
    """Of this process, and of those that run: by label, the ids of processes."""
    registry = CollectorRegistry()
    registry.register(_Processes(pids))
    return registry


class _Processes(Collector):
    def __init__(self, pids: Callable[[], dict[str, int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        """A family of each metric, with a sample of each process."""
        families: dict[str, Metric] = {}
        for name, pid in {"supervisor": "self", **self._pids()}.items():
            # a process that has ended meanwhile has no samples
            for metric in ProcessCollector(pid=partial(str, pid), registry=None).collect():
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type, metric.unit)
                )
                for sample in metric.samples:
                    family.add_sample(sample.name, {"process": name}, sample.value)
        return families.values()
