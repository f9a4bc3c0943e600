"""The functions of `django.urls` that Channels' routing files import, for where Django is not installed."""

from consumers.patterns import path as path
from consumers.patterns import re_path as re_path
from consumers.patterns import register_converter as register_converter
