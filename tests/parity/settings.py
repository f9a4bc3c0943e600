"""Django's settings for the tests in this directory; those of `with_django` have their own."""

from tests.parity.setup import ALLOWED_HOSTS as ALLOWED_HOSTS
from tests.parity.setup import ASGI_APPLICATION as ASGI_APPLICATION
from tests.parity.setup import CHANNEL_LAYERS as CHANNEL_LAYERS

SECRET_KEY = "for these tests only"
DEBUG = False
INSTALLED_APPS = ["channels"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
