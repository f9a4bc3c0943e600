"""This library, measured by OpenTelemetry's SDK, whose figures nobody reads meanwhile."""

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from consumers import telemetry

from .consumers import Adapter as Unmeasured


class Adapter(Unmeasured):
    packages = ("starlette-consumers", "opentelemetry-sdk")
    endpoints = ("echo", "room")

    def __init__(self) -> None:
        super().__init__()
        telemetry.instrument(MeterProvider([InMemoryMetricReader()]))
