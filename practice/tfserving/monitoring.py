"""The metrics of TensorFlow Serving, and the page on which Prometheus reads them.

See tensorflow_serving/servables/tensorflow/util.cc and tensorflow_serving/util/
prometheus_exporter.cc.
"""

import itertools
import math
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample

from practice.tfserving import textproto
from protos import server_files_pb2

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_PREFIX = ":tensorflow:serving:"


def read_monitoring_config(path: str) -> str | None:
    """Read a `--monitoring_config_file`; returns the metrics' path, or None when they are off."""
    config = textproto.read(path, server_files_pb2.MonitoringConfig()).prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None


class Monitoring:
    """Counts requests, and measures how long they take. Safe for many threads."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        microseconds = _limits(10, 1.8, 33)  # up to about 20 minutes
        self._requests = Counter(
            f"{_PREFIX}request_count", "", ["model_name", "status"], registry=registry
        )
        self._examples_total = Counter(
            f"{_PREFIX}request_example_count", "", ["model"], registry=registry
        )
        self._examples = Histogram(
            f"{_PREFIX}request_example_counts",
            "",
            ["model"],
            registry=registry,
            buckets=_limits(1, 2, 15),
        )
        self._latency = Histogram(
            f"{_PREFIX}request_latency",
            "",
            ["model_name", "API", "entrypoint"],
            registry=registry,
            buckets=microseconds,
        )
        self._runtime = Histogram(
            f"{_PREFIX}runtime_latency",
            "",
            ["model_name", "API", "runtime"],
            registry=registry,
            buckets=microseconds,
        )

    def request(self, model_name: str, status: str) -> None:
        """Count a request that was answered with a status, such as `OK`."""
        self._requests.labels(model_name, status).inc()

    def latency(self, model_name: str, api: str, entrypoint: str, seconds: float) -> None:
        """Note how long a request took that went well; the entry point is GRPC or REST."""
        self._latency.labels(model_name, api, entrypoint).observe(round(seconds * 1e6))

    def runtime(self, model_name: str, api: str, seconds: float) -> None:
        """Note how long the engine took."""
        self._runtime.labels(model_name, api, "TF1").observe(round(seconds * 1e6))

    def examples(self, model_name: str, count: int) -> None:
        """Count the examples of one classify, regress or multi-inference request."""
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
    limits = itertools.accumulate(range(count - 1), lambda limit, _: limit * growth, initial=first)
    return [math.nextafter(limit, 0) for limit in limits]


def _counter(name: str, metric: Counter) -> Iterator[str]:
    yield f"# TYPE {_PREFIX}{name} counter"
    for sample in _samples(metric):
        if sample.name.endswith("_total"):
            yield f"{_PREFIX}{name}{{{_labels(sample)}}} {sample.value:.0f}"


def _histogram(name: str, metric: Histogram) -> Iterator[str]:
    yield f"# TYPE {_PREFIX}{name} histogram"
    total = ""
    for sample in _samples(metric):
        kind = sample.name.removeprefix(_PREFIX + name)
        if kind == "_count":
            total = f"{_PREFIX}{name}_count{{{_labels(sample)}}} {sample.value:.0f}"
        elif kind == "_sum":  # the product writes it before the count, prometheus_client after
            yield f"{_PREFIX}{name}_sum{{{_labels(sample)}}} {sample.value:g}"
            yield total
        elif kind == "_bucket":
            yield f"{_PREFIX}{name}_bucket{{{_labels(sample)}}} {sample.value:.0f}"


def _samples(metric: MetricWrapperBase) -> Iterable[Sample]:
    return itertools.chain.from_iterable(family.samples for family in metric.collect())


def _labels(sample: Sample) -> str:
    return ",".join(f'{name}="{_value(name, text)}"' for name, text in sample.labels.items())


def _value(name: str, text: str) -> str:
    if name == "le":
        return "+Inf" if text == "+Inf" else f"{float(text):g}"
    return text.replace("\\", "\\\\").replace('"', '\\"')
