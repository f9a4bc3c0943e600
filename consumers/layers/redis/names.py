"""What prefixes, and names that no other rule holds for, need so that Redis can have them."""


def checked_prefix(prefix: object, group_mark: str) -> str:
    """Return the `prefix` argument of a layer.

    Args:
        prefix: the argument.
        group_mark: what stands between the prefix and a group's name.

    Raises:
        TypeError: if it is no string.
        ValueError: if the names with it would be those of another layer's groups, or UTF-8 has no bytes for it.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a string, not {prefix!r}")
    try:
        prefix.encode()
    except UnicodeEncodeError:
        raise ValueError(f"prefix must be text that UTF-8 has bytes for, which {prefix!r} is not") from None
    # The mark comes first behind the prefix, so that a name in Redis tells which of two prefixes it belongs to.
    if f"{prefix}{group_mark}".find(group_mark) != len(prefix):
        raise ValueError(
            f"prefix must not contain {group_mark!r}, or end with the most of it: "
            f"the names of {prefix!r} would be those of another layer's groups"
        )
    return prefix


def require_text(noun: str, name: object) -> None:
    """Check what a name needs even where no other rule for names holds: that it can be sent to Redis.

    Raises:
        TypeError: if it cannot.
    """
    try:
        if isinstance(name, str):
            name.encode()
            return
    except UnicodeEncodeError:  # a lone surrogate, which JSON from a client can have
        pass
    raise TypeError(f"{noun} name must be a string that UTF-8 has bytes for, not {name!r:.100}")
