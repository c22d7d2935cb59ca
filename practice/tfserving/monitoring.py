"""The metrics of TensorFlow Serving, and the page on which Prometheus reads them.

See tensorflow_serving/servables/tensorflow/util.cc and tensorflow_serving/util/
prometheus_exporter.cc.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from practice.tfserving import textproto
from protos import server_files_pb2

if TYPE_CHECKING:
    from prometheus_client.metrics import MetricWrapperBase
    from prometheus_client.samples import Sample

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_PREFIX = ":tensorflow:serving:"


def read_monitoring_config(path: str) -> str | None:
    """Read a `--monitoring_config_file`; returns the metrics' path, or None when they are off."""
    config = textproto.read(path, server_files_pb2.MonitoringConfig()).prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None


class Unmonitored:
    """Takes what there is to count and measure, and forgets it: most services have no metrics."""

    def request(self, model_name: str, status: str) -> None:
        """Count a request that was answered with a status, such as `OK`."""

    def latency(self, model_name: str, api: str, entrypoint: str, seconds: float) -> None:
        """Note how long a request took that went well; the entry point is GRPC or REST."""

    def runtime(self, model_name: str, api: str) -> contextlib.AbstractContextManager[None]:
        """Note how long the engine takes inside of this context, if all goes well."""
        return contextlib.nullcontext()

    def examples(self, model_name: str, count: int) -> None:
        """Count the examples of one classify, regress or multi-inference request."""


class Monitoring(Unmonitored):
    """Counts requests, and measures how long they take. Safe for many threads."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram  # 30 ms

        registry = CollectorRegistry()

        def histogram(name: str, labels: list[str], buckets: list[float]) -> Histogram:
            return Histogram(_PREFIX + name, "", labels, registry=registry, buckets=buckets)

        def counter(name: str, labels: list[str]) -> Counter:
            return Counter(_PREFIX + name, "", labels, registry=registry)

        microseconds = _limits(10, 1.8, 33)  # up to about 20 minutes
        self._requests = counter("request_count", ["model_name", "status"])
        self._examples_total = counter("request_example_count", ["model"])
        self._examples = histogram("request_example_counts", ["model"], _limits(1, 2, 15))
        self._latency = histogram(
            "request_latency", ["model_name", "API", "entrypoint"], microseconds
        )
        self._runtime = histogram("runtime_latency", ["model_name", "API", "runtime"], microseconds)

    def request(self, model_name: str, status: str) -> None:
        self._requests.labels(model_name, status).inc()

    def latency(self, model_name: str, api: str, entrypoint: str, seconds: float) -> None:
        self._latency.labels(model_name, api, entrypoint).observe(round(seconds * 1e6))

    @contextlib.contextmanager
    def runtime(self, model_name: str, api: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self._runtime.labels(model_name, api, "TF1").observe(round(seconds * 1e6))

    def examples(self, model_name: str, count: int) -> None:
        self._examples.labels(model_name).observe(count)
        self._examples_total.labels(model_name).inc(count)

    def page(self) -> str:
        """Write all metrics in the product's text form."""
        lines = [
            *_counter("request_count", self._requests),
            *_counter("request_example_count_total", self._examples_total),
            *_histogram("request_example_counts", self._examples),
            *_histogram("request_latency", self._latency),
            *_histogram("runtime_latency", self._runtime),
        ]
        return "\n".join(lines) + "\n"


def _limits(first: float, growth: float, count: int) -> list[float]:
    """Return upper limits of buckets; a value that is equal to one belongs to the next bucket."""
    return [math.nextafter(first * growth**power, 0) for power in range(count)]


def _counter(name: str, metric: Any) -> Iterator[str]:
    yield f"# TYPE {_PREFIX}{name} counter"
    for sample in _samples(metric):
        if sample.name.endswith("_total"):
            yield f"{_PREFIX}{name}{{{_labels(sample)}}} {sample.value:.0f}"


def _histogram(name: str, metric: Any) -> Iterator[str]:
    yield f"# TYPE {_PREFIX}{name} histogram"
    total = ""
    for sample in _samples(metric):
        kind = sample.name.removeprefix(_PREFIX + name)
        if kind == "_count":
            total = f"{sample.name}{{{_labels(sample)}}} {sample.value:.0f}"
        elif kind == "_sum":  # the product writes it before the count, prometheus_client after
            yield f"{sample.name}{{{_labels(sample)}}} {sample.value:g}"
            yield total
        elif kind == "_bucket":
            yield f"{sample.name}{{{_labels(sample)}}} {sample.value:.0f}"


def _samples(metric: "MetricWrapperBase") -> "Iterator[Sample]":
    return itertools.chain.from_iterable(family.samples for family in metric.collect())


def _labels(sample: "Sample") -> str:
    return ",".join(f'{name}="{_value(name, text)}"' for name, text in sample.labels.items())


def _value(name: str, text: str) -> str:
    if name == "le":
        return "+Inf" if text == "+Inf" else f"{float(text):g}"
    return text.replace("\\", "\\\\").replace('"', '\\"')
