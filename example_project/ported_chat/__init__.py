"""A chat in rooms as a project on Django Channels has it.

Only this file knows of its new home. With Django in the process it would be empty: Django reads the settings.
"""

import compat

from . import settings

compat.configure(ALLOWED_HOSTS=settings.ALLOWED_HOSTS, CHANNEL_LAYERS=settings.CHANNEL_LAYERS)
