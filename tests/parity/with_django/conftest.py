"""What the tests of Channels with Django have in common."""

import os

import pytest

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.parity.with_django.settings":
    collect_ignore_glob = ["test_*.py"]  # a run over all of `parity`, with other settings
else:

    @pytest.fixture
    def person(db):
        """A user with the password "secret"."""
        from tests.parity.with_django.people.models import Person

        person = Person(email="ann@example.com")
        person.set_password("secret")
        person.save()
        return person

    @pytest.fixture
    def logged_in(person, client):
        """A session key of that user, made by Django."""
        client.force_login(person)
        return client.session.session_key

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(items):
        """Have the live servers first: Channels' is a fork, which cannot use the threads that other tests have made."""
        items.sort(key=lambda item: item.path.name != "test_live.py")
