"""A Django project with a user model of its own and a database in a file."""

import os
import tempfile
from pathlib import Path

DATABASE = os.environ.get("PARITY_DATABASE") or os.path.join(tempfile.gettempdir(), f"parity-{os.getpid()}.sqlite3")

SECRET_KEY = "for these tests only"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.parity.with_django.urls"
ASGI_APPLICATION = "tests.parity.with_django.asgi.application"
STATIC_URL = "/static/"
STATICFILES_DIRS = [Path(__file__).parent / "static"]
AUTH_USER_MODEL = "people.Person"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
INSTALLED_APPS = [
    "channels",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "tests.parity.with_django.people",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATABASE,
        "TEST": {"NAME": DATABASE},
        "OPTIONS": {"timeout": 5},
    }
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
