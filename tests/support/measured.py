"""What the library measures, read as an exporter reads it, and what it is measured on."""

from typing import Any

import anyio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from starlette.websockets import WebSocket

from consumers import AsyncWebsocketConsumer, BaseWSEndpoint
from consumers.telemetry import semconv

SHORT = {
    "consumer": semconv.CONSUMER,
    "protocol": semconv.PROTOCOL,
    "code": semconv.CLOSE_CODE,
    "source": semconv.SOURCE,
    "reason": semconv.REASON,
    "handler": semconv.HANDLER,
    "layer": semconv.LAYER,
    "operation": semconv.OPERATION,
    "error": semconv.ERROR_TYPE,
}


class Measured:
    """An OpenTelemetry SDK with a reader in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def metrics(self) -> dict[str, Metric]:
        """Return everything by its name."""
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str, **attributes: str) -> list[Any]:
        """Return an instrument's measurements that have these attributes, called by the last words of their names."""
        wanted = {SHORT[short]: value for short, value in attributes.items()}
        metric = self.metrics().get(f"consumers.{name}")
        points: list[Any] = list(metric.data.data_points) if metric else []
        return [point for point in points if wanted.items() <= (point.attributes or {}).items()]

    def value(self, name: str, **attributes: str) -> int:
        """Return the sum of an instrument's measurements; a histogram's is how many there were."""
        points = self.points(name, **attributes)
        return sum(point.count if hasattr(point, "count") else point.value for point in points)

    def values_of(self, name: str, attribute: str) -> set[str | None]:
        """Return the values that an attribute of an instrument has; None: it is missing."""
        return {point.attributes.get(SHORT[attribute]) for point in self.points(name)}


class Echo(AsyncWebsocketConsumer):
    """Echoes; a client may ask for more."""

    async def receive(self, text_data: str) -> None:
        if text_data == "fail":
            raise KeyError(text_data)
        if text_data == "close":
            await self.close(4001)
        elif text_data == "hang":
            await anyio.sleep_forever()
        else:
            await self.send(text_data)

    async def news(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])


class Endpoint(BaseWSEndpoint):
    encoding = "text"

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: str) -> None:
        if data == "fail":
            raise KeyError(data)
        await websocket.send_text(data)
