"""Conversations with libraries that are built on Channels: the same files with Channels and with `compat`.

The libraries require Channels, so they are installed without their dependencies. They have a run of their own.
"""

import channels

IS_COMPAT = channels.__name__ != "channels"
