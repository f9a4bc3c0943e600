"""Django's database from coroutines: calls in a thread, and no connection kept longer than Django's settings say."""

from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async

from ..conf import has_django, uses_django

_may_be_open = has_django()
"""Whether the thread that Django's asynchronous ORM uses may have an open connection."""


def close_old_connections() -> None:
    """Close this thread's database connections that are broken or older than CONN_MAX_AGE, if Django is in use.

    One that is inside `transaction.atomic()`, such as that of a `TestCase`, is not ours: it stays.
    """
    if not uses_django():
        return
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


class DatabaseSyncToAsync(SyncToAsync[..., Any]):
    """asgiref's `SyncToAsync`, which also closes old database connections before and after the call."""

    def thread_handler(self, *args: Any, **kwargs: Any) -> Any:
        close_old_connections()
        try:
            return super().thread_handler(*args, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            close_old_connections()


database_sync_to_async = DatabaseSyncToAsync
"""Run a plain function that uses the database in a thread: a decorator, or `await database_sync_to_async(f)(...)`."""


async def aclose_old_connections() -> None:
    """Close old connections of the thread that Django's asynchronous ORM uses.

    Channels goes into that thread for every message. This does so only while a connection may be open there.
    """
    if _may_be_open:
        await sync_to_async(_close_and_look)()


def _close_and_look() -> None:
    global _may_be_open
    if not uses_django():
        return
    from django.db import connections

    _may_be_open = False  # first: what another thread opens meanwhile sets it again
    close_old_connections()
    if any(connection.connection is not None for connection in connections.all(initialized_only=True)):
        _may_be_open = True


def _note_connection(**signal: Any) -> None:
    global _may_be_open
    _may_be_open = True


if has_django():
    from django.db.backends.signals import connection_created

    connection_created.connect(_note_connection)
