"""OpenTelemetry: one span a request, when OTEL_* variables ask for it. No texts, no keys, no addresses.

Attributes keep to the semantic conventions for HTTP servers and generative AI (opentelemetry.io/docs/specs/semconv)
where those have a name; what they have none for begins with `mirim.`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from mirim import __version__
from mirim.core.progress import note

#: Any of these set, and nothing saying no, means that spans are wanted.
_ASKING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_PYTHON_TRACER_PROVIDER",
)
_EXTRA = "'mirim[otel]'"
_NAMES = {
    "id": "mirim.request.id",
    "model": "gen_ai.request.model",
    "status": "http.response.status_code",
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "queued": "mirim.queue_seconds",
    "first": "mirim.first_token_seconds",
    "error": "error.type",
}


class Traces:
    """Makes spans with a tracer provider of OpenTelemetry's API; `own`: the provider is ended with the server."""

    def __init__(self, provider: Any, own: bool = False) -> None:
        from opentelemetry import propagate, trace

        self._provider, self._own = provider, own
        self._tracer = provider.get_tracer("mirim.server", __version__)
        self._extract, self._server = propagate.extract, trace.SpanKind.SERVER
        self._failed = trace.Status(trace.StatusCode.ERROR)

    def begin(self, method: str, route: str, headers: Mapping[str, str]) -> Any:
        """A span that has begun, within the caller's trace when its headers name one."""
        attributes = {"http.request.method": method, "http.route": route}
        context = self._extract(dict(headers))
        return self._tracer.start_span(f"{method} {route}", context, self._server, attributes)

    def end(self, span: Any, row: Mapping[str, Any]) -> None:
        """Close it with what the audit log says of the request."""
        span.set_attributes({name: row[key] for key, name in _NAMES.items() if row.get(key) is not None})
        if row["status"] >= 500:
            span.set_status(self._failed)
        span.end()

    def close(self) -> None:
        """Send what is left."""
        if self._own:
            self._provider.shutdown()


def traces() -> Traces | None:
    """As the environment asks for it; None, with a line that says why, when it asks for what is not installed."""
    asking = [name for name in _ASKING if os.environ.get(name, "none").strip() not in ("", "none")]
    if not asking or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry import trace
    except ImportError:
        note(f"no spans are sent: {asking[0]} is set, but OpenTelemetry is missing; type: pip install {_EXTRA}")
        return None
    given = trace.get_tracer_provider()
    if not isinstance(given, trace.ProxyTracerProvider):
        # Somebody has set everything up, such as the opentelemetry-instrument command.
        return Traces(given)
    try:
        made = _provider()
    except Exception as error:
        # Whatever is wrong with them, answers matter more than spans.
        note(f"no spans are sent: {error}")
        return None
    return Traces(made, own=True) if made else None


def _provider() -> Any:
    """The SDK's provider with the exporters of OTEL_TRACES_EXPORTER; None for 'none'. ImportError for a missing one."""
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ImportError(f"OpenTelemetry's SDK is not installed; type: pip install {_EXTRA}") from error

    exporters = []
    for word in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        name = word.strip()
        if name == "none":
            continue
        if name == "otlp":
            shapes = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
            shape = next(filter(None, map(os.environ.get, shapes)), "")
            name = "otlp_proto_grpc" if shape == "grpc" else "otlp_proto_http"
        found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=name)), None)
        if found is None:
            raise ImportError(f'the exporter "{name}" is not installed; type: pip install {_EXTRA}')
        exporters.append(found.load()())
    if not exporters:
        return None
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": __version__} | ({} if named else {"service.name": "mirim"})
    provider = TracerProvider(resource=Resource.create(own))
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
