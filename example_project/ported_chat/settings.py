"""The settings that Channels reads."""

ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
