"""The limit on open files."""

import resource


def raise_limit_on_files() -> int:
    """Raise this process' limit as far as it may, and return it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
