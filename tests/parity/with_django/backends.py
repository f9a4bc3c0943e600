"""A second authentication backend."""

from django.contrib.auth.backends import ModelBackend


class OtherBackend(ModelBackend):
    """Django's own, under another name."""
