"""What users import from."""

MODULES = (
    "consumers",
    "consumers.layers",
    "consumers.layers.redis",
    "consumers.typed",
    "consumers.client",
    "consumers.server",
    "consumers.testing",
    "consumers.telemetry",
)
"""The public modules, whose `__all__` says what is in them."""
