"""channels_redis' package."""

__version__ = "4.3.0"
"""The version of channels_redis whose interface, and bytes in Redis, these are."""
