"""Stands for Daphne among INSTALLED_APPS under the import hook, where Daphne is not installed; it serves nothing."""
