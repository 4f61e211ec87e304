"""Reads bodies of OTLP requests for traces by OpenTelemetry's own Python classes, and writes what they hold as JSON.

Arguments: a file for each body. Output: one list of spans for each.
"""

import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(pairs):
    names = [pair.key for pair in pairs]
    assert len(names) == len(set(names)), f"a name comes twice: {names}"
    return {pair.key: value(pair.value) for pair in pairs}


def span(it):
    return {
        "trace": it.trace_id.hex(),
        "id": it.span_id.hex(),
        "parent": it.parent_span_id.hex(),
        "flags": it.flags,
        "name": it.name,
        "kind": Span.SpanKind.Name(it.kind),
        "start": it.start_time_unix_nano,
        "end": it.end_time_unix_nano,
        "attributes": attributes(it.attributes),
        "events": [
            {"name": event.name, "at": event.time_unix_nano, "attributes": attributes(event.attributes)}
            for event in it.events
        ],
        "status": [Status.StatusCode.Name(it.status.code), it.status.message],
    }


def spans(path):
    with open(path, "rb") as body:
        request = ExportTraceServiceRequest.FromString(body.read())
    scopes = [scope for resource in request.resource_spans for scope in resource.scope_spans]
    assert all(scope.scope.name == "gravimeter" for scope in scopes)
    assert "service.name" in attributes(request.resource_spans[0].resource.attributes)
    return [span(it) for scope in scopes for it in scope.spans]


print(json.dumps([spans(path) for path in sys.argv[1:]]))
