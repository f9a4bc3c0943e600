"""This library, measured through OpenTelemetry's API without an SDK."""

from consumers import telemetry

from .consumers import Adapter as Unmeasured


class Adapter(Unmeasured):
    packages = ("starlette-consumers", "opentelemetry-api")
    endpoints = ("echo", "room")

    def __init__(self) -> None:
        super().__init__()
        telemetry.instrument()
