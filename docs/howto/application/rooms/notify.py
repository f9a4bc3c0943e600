"""Tell a user something, from a process of its own: `python -m rooms.notify ann "Your report is ready"`."""

import sys

from consumers.typed import group_send_message_sync

from . import groups
from .models import Notice


def notify(user: str, text: str) -> None:
    group_send_message_sync(groups.of_user(user), Notice(text=text))


if __name__ == "__main__":
    notify(user=sys.argv[1], text=sys.argv[2])
