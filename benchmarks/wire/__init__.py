"""What is measured over real sockets: uvicorn in a process of its own, the clients in the process of the suite."""

PLACEHOLDER = "@"
"""Stands for the text in the frames that a server's first line shows."""
