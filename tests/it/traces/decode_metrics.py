"""Reads bodies of OTLP requests for metrics by OpenTelemetry's own Python classes, and writes their exponential histograms as JSON.

Arguments: a file for each body. Output: for each, the points of each metric, with the bounds of the buckets that are not empty.
"""

import json
import sys

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


def buckets(point):
    # https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
    base = 2 ** (2**-point.scale)
    counts = enumerate(point.positive.bucket_counts, point.positive.offset)
    return [[base**index, base ** (index + 1), count] for index, count in counts if count]


def read(point):
    assert point.count == point.zero_count + sum(point.positive.bucket_counts)
    assert not point.negative.bucket_counts and not point.HasField("min") and not point.HasField("max")
    return {
        "count": point.count,
        "sum": point.sum,
        "buckets": buckets(point),
        "exemplars": [[it.trace_id.hex(), it.span_id.hex(), it.as_double] for it in point.exemplars],
    }


def histograms(path):
    with open(path, "rb") as body:
        request = ExportMetricsServiceRequest.FromString(body.read())
    metrics = [metric for resource in request.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
    return {
        metric.name: [read(point) for point in metric.exponential_histogram.data_points]
        for metric in metrics
        if metric.HasField("exponential_histogram")
    }


print(json.dumps([histograms(path) for path in sys.argv[1:]]))
