"""Tests of what Channels does with Django: sessions, users, the database, the app, the live server.

They have Django settings of their own, hence a run of their own: `pytest tests/parity/with_django`.
"""

import channels

IS_COMPAT = channels.__name__ != "channels"
"""Whether `import channels` gives `compat`, whose wanted differences the tests name."""
