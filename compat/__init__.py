"""Channels under its own module names, for ports. Under construction."""
