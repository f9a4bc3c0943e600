"""The clients: for the browser, as files to serve, and for Python."""

from .files import client_files as client_files

__all__ = ["client_files"]
