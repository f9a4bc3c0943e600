"""The Django app: `compat.channels` in INSTALLED_APPS, or `channels` under the import hook."""

from django.apps import AppConfig

from ..hook import is_installed


class ChannelsConfig(AppConfig):  # type: ignore[misc]
    """Brings the `runworker` command. Its label is Channels' own, the last word of either name."""

    name = "channels" if is_installed() else "compat.channels"
    verbose_name = "Channels"
