"""Tests that pass with real Channels and with `compat`, with Django and without: the same files everywhere.

They import `channels` and `django.urls` alone; `make test-parity` runs them in three environments.
"""
