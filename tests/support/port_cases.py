"""Sources before and after the port."""

from compat.port.edits import plan
from compat.port.plan import Finding
from compat.port.source import Source


def port(code: str | bytes, native: bool = False) -> tuple[bytes, list[Finding]]:
    """Return a source after the port, and what a person is told."""
    source = Source(code.encode() if isinstance(code, str) else code)
    planned = plan(source, native=native)
    return source.edited(planned.edits), planned.found(final=True)


CASES = {
    "a from-import": (
        "from channels.generic.websocket import AsyncWebsocketConsumer\n",
        "from compat.channels.generic.websocket import AsyncWebsocketConsumer\n",
        "from consumers import AsyncWebsocketConsumer\n",
    ),
    "an alias": (
        "from channels.layers import get_channel_layer as get_layer\n",
        "from compat.channels.layers import get_channel_layer as get_layer\n",
        "from consumers import get_channel_layer as get_layer\n",
    ),
    "a re-export": (
        "from channels.layers import get_channel_layer as get_channel_layer\n",
        "from compat.channels.layers import get_channel_layer as get_channel_layer\n",
        "from consumers import get_channel_layer as get_channel_layer\n",
    ),
    "no native place": (
        "from channels.db import database_sync_to_async\n",
        "from compat.channels.db import database_sync_to_async\n",
        "from compat.channels.db import database_sync_to_async\n",
    ),
    "several places": (
        "from channels.testing import WebsocketCommunicator, ChannelsLiveServerTestCase, HttpCommunicator\n",
        "from compat.channels.testing import WebsocketCommunicator, ChannelsLiveServerTestCase, HttpCommunicator\n",
        "from consumers.testing import HttpCommunicator, WebsocketCommunicator\n"
        "from compat.channels.testing import ChannelsLiveServerTestCase\n",
    ),
    "neighbours are joined": (
        """
        import json
        from channels.generic.websocket import AsyncWebsocketConsumer
        from channels.db import database_sync_to_async
        from channels.exceptions import DenyConnection, StopConsumer
        x = 1
        """,
        """
        import json
        from compat.channels.generic.websocket import AsyncWebsocketConsumer
        from compat.channels.db import database_sync_to_async
        from compat.channels.exceptions import DenyConnection, StopConsumer
        x = 1
        """,
        """
        import json
        from consumers import AsyncWebsocketConsumer, DenyConnection, StopConsumer
        from compat.channels.db import database_sync_to_async
        x = 1
        """,
    ),
    "the names of a joined line are sorted as isort and Ruff do it": (
        "from channels.layers import get_channel_layer, channel_layers\nfrom channels.routing import URLRouter\n"
        "from channels.generic.websocket import WebsocketConsumer as A\nfrom channels.exceptions import ChannelFull\n",
        "from compat.channels.layers import get_channel_layer, channel_layers\n"
        "from compat.channels.routing import URLRouter\n"
        "from compat.channels.generic.websocket import WebsocketConsumer as A\n"
        "from compat.channels.exceptions import ChannelFull\n",
        "from consumers import (\n    ChannelFull,\n    URLRouter,\n    WebsocketConsumer as A,\n"
        "    channel_layers,\n    get_channel_layer,\n)\n",
    ),
    "a joined line is broken": (
        """
        def f():
            from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
            from channels.exceptions import DenyConnection
        """,
        """
        def f():
            from compat.channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
            from compat.channels.exceptions import DenyConnection
        """,
        """
        def f():
            from consumers import (
                AsyncJsonWebsocketConsumer,
                DenyConnection,
                JsonWebsocketConsumer,
            )
        """,
    ),
    "a comment keeps its import": (
        """
        from channels.exceptions import DenyConnection  # says no
        # Where the groups are.
        from channels.layers import get_channel_layer

        from channels.exceptions import StopConsumer
        """,
        """
        from compat.channels.exceptions import DenyConnection  # says no
        # Where the groups are.
        from compat.channels.layers import get_channel_layer

        from compat.channels.exceptions import StopConsumer
        """,
        """
        from consumers import DenyConnection  # says no
        # Where the groups are.
        from consumers import get_channel_layer

        from consumers import StopConsumer
        """,
    ),
    "a name is not moved over another of the same name": (
        """
        from channels.exceptions import DenyConnection
        from chat import get_channel_layer
        from channels.layers import get_channel_layer
        """,
        """
        from compat.channels.exceptions import DenyConnection
        from chat import get_channel_layer
        from compat.channels.layers import get_channel_layer
        """,
        """
        from consumers import DenyConnection
        from chat import get_channel_layer
        from consumers import get_channel_layer
        """,
    ),
    "a commented import is not joined to another": (
        "from channels.exceptions import DenyConnection\nfrom channels.layers import get_channel_layer  # why\n",
        "from compat.channels.exceptions import DenyConnection\n"
        "from compat.channels.layers import get_channel_layer  # why\n",
        "from consumers import DenyConnection\nfrom consumers import get_channel_layer  # why\n",
    ),
    "only native names are joined": (
        "from channels.exceptions import ChannelFull\nfrom channels.auth import login\n"
        "from channels.exceptions import StopConsumer\nfrom channels.auth import logout\n",
        "from compat.channels.exceptions import ChannelFull\nfrom compat.channels.auth import login\n"
        "from compat.channels.exceptions import StopConsumer\nfrom compat.channels.auth import logout\n",
        "from consumers import ChannelFull, StopConsumer\nfrom compat.channels.auth import login\n"
        "from compat.channels.auth import logout\n",
    ),
    "packages from compat": (
        "from compat import channels_redis, channels, configure\nprint(channels, channels_redis)\n",
        "from compat import channels_redis, channels, configure\nprint(channels, channels_redis)\n",
        "from compat import channels_redis, channels, configure\nprint(channels, channels_redis)\n",
    ),
    "a pragma holds for each part": (
        "from channels.routing import URLRouter, get_default_application  # noqa: F401\n",
        "from compat.channels.routing import URLRouter, get_default_application  # noqa: F401\n",
        "from consumers import URLRouter  # noqa: F401\n"
        "from compat.channels.routing import get_default_application  # noqa: F401\n",
    ),
    "comments inside parentheses": (
        """
        from channels.testing import (  # noqa: F401
            # The client.
            WebsocketCommunicator,  # over a socket
            ChannelsLiveServerTestCase as Live,  # a server
            HttpCommunicator
            # That is all.
        )
        """,
        """
        from compat.channels.testing import (  # noqa: F401
            # The client.
            WebsocketCommunicator,  # over a socket
            ChannelsLiveServerTestCase as Live,  # a server
            HttpCommunicator
            # That is all.
        )
        """,
        """
        from consumers.testing import (  # noqa: F401
            HttpCommunicator,
            # The client.
            WebsocketCommunicator,  # over a socket
        )
        from compat.channels.testing import (  # noqa: F401
            ChannelsLiveServerTestCase as Live,  # a server
            # That is all.
        )
        """,
    ),
    "import as": (
        "import channels.layers as cl\nlayer = cl.get_channel_layer()\n",
        "import compat.channels.layers as cl\nlayer = cl.get_channel_layer()\n",
        "import consumers as cl\nlayer = cl.get_channel_layer()\n",
    ),
    "import as, of names that are in different places": (
        "import channels.auth as auth, channels.layers as cl\ncl.get_channel_layer, cl.ChannelLayerManager\n",
        "import compat.channels.auth as auth, compat.channels.layers as cl\n"
        "cl.get_channel_layer, cl.ChannelLayerManager\n",
        "import compat.channels.auth as auth, compat.channels.layers as cl\n"
        "cl.get_channel_layer, cl.ChannelLayerManager\n",
    ),
    "a module that is passed on": (
        "from channels import layers\nlayers.get_channel_layer()\nprint(layers)\n",
        "from compat.channels import layers\nlayers.get_channel_layer()\nprint(layers)\n",
        "from compat.channels import layers\nlayers.get_channel_layer()\nprint(layers)\n",
    ),
    "a module from its package": (
        "from channels import DEFAULT_CHANNEL_LAYER, layers\nmock.patch.object(layers, 'get_channel_layer')\n",
        "from compat.channels import DEFAULT_CHANNEL_LAYER, layers\nmock.patch.object(layers, 'get_channel_layer')\n",
        "from compat.channels import DEFAULT_CHANNEL_LAYER\nimport consumers as layers\n"
        "mock.patch.object(layers, 'get_channel_layer')\n",
    ),
    "a dotted import": (
        """
        import os, channels.layers, channels.auth  # all
        def f(a: channels.layers.BaseChannelLayer, b: "list[channels.layers.BaseChannelLayer]"):
            print(channels.layers.get_channel_layer(), channels.auth.login)
            return channels.exceptions.ChannelFull
        """,
        """
        import os, compat.channels.layers, compat.channels.auth  # all
        def f(a: compat.channels.layers.BaseChannelLayer, b: "list[compat.channels.layers.BaseChannelLayer]"):
            print(compat.channels.layers.get_channel_layer(), compat.channels.auth.login)
            return compat.channels.exceptions.ChannelFull
        """,
        """
        import os, consumers, compat.channels.auth  # all
        def f(a: consumers.BaseChannelLayer, b: "list[consumers.BaseChannelLayer]"):
            print(consumers.get_channel_layer(), compat.channels.auth.login)
            return consumers.ChannelFull
        """,
    ),
    "a dotted import for more than its own module": (
        "import channels.auth\nraise channels.exceptions.ChannelFull\n",
        "import compat.channels.auth\nraise compat.channels.exceptions.ChannelFull\n",
        "import consumers\nraise consumers.ChannelFull\n",
    ),
    "a dotted import in a function": (
        """
        import channels.exceptions
        def f():
            import channels.layers
            return channels.layers.get_channel_layer(), channels.auth.login
        channels.exceptions.ChannelFull
        """,
        """
        import compat.channels.exceptions
        def f():
            import compat.channels.layers
            return compat.channels.layers.get_channel_layer(), compat.channels.auth.login
        compat.channels.exceptions.ChannelFull
        """,
        """
        import consumers
        def f():
            import compat.channels.auth, consumers
            return consumers.get_channel_layer(), compat.channels.auth.login
        consumers.ChannelFull
        """,
    ),
    "a dotted import beside one of compat": (
        "import compat, compat.channels.layers\ncompat.configure()\ncompat.channels.layers.get_channel_layer()\n",
        "import compat, compat.channels.layers\ncompat.configure()\ncompat.channels.layers.get_channel_layer()\n",
        "import compat, consumers\ncompat.configure()\nconsumers.get_channel_layer()\n",
    ),
    "a comment inside a dotted name": (
        "import channels.layers\nx = (\n    channels  # here\n    .layers.get_channel_layer\n)\n",
        "import compat.channels.layers\nx = (\n    compat.channels  # here\n    .layers.get_channel_layer\n)\n",
        "import compat.channels.layers\nx = (\n    compat.channels  # here\n    .layers.get_channel_layer\n)\n",
    ),
    "several dotted imports of what is in one place": (
        "import channels.layers, os, channels.exceptions\n"
        "channels.layers.BaseChannelLayer\nchannels.exceptions.ChannelFull\n",
        "import compat.channels.layers, os, compat.channels.exceptions\n"
        "compat.channels.layers.BaseChannelLayer\ncompat.channels.exceptions.ChannelFull\n",
        "import consumers, os\nconsumers.BaseChannelLayer\nconsumers.ChannelFull\n",
    ),
    "dotted imports of what is in one place, one above the other": (
        "import channels.layers\nimport os\nimport channels.exceptions\n"
        "channels.layers.channel_layers\nchannels.exceptions.ChannelFull\n",
        "import compat.channels.layers\nimport os\nimport compat.channels.exceptions\n"
        "compat.channels.layers.channel_layers\ncompat.channels.exceptions.ChannelFull\n",
        "import consumers\nimport os\nconsumers.channel_layers\nconsumers.ChannelFull\n",
    ),
    "the package itself": (
        "import channels\nprint(channels.DEFAULT_CHANNEL_LAYER)\n",
        "import compat.channels\nprint(compat.channels.DEFAULT_CHANNEL_LAYER)\n",
        "import compat.channels\nprint(compat.channels.DEFAULT_CHANNEL_LAYER)\n",
    ),
    "a name that is bound otherwise too": (
        """
        try:
            import channels
            import channels.layers
        except ImportError:
            channels = None
        if channels is not None:
            layer = channels.layers.get_channel_layer()
        """,
        """
        try:
            from compat import channels
            import compat.channels.layers
            from compat import channels
        except ImportError:
            channels = None
        if channels is not None:
            layer = channels.layers.get_channel_layer()
        """,
        """
        try:
            from compat import channels
            import compat.channels.layers
            from compat import channels
        except ImportError:
            channels = None
        if channels is not None:
            layer = channels.layers.get_channel_layer()
        """,
    ),
    "another thing of the same name": (
        """
        import channels.layers
        def f(channels, layers=channels.layers):
            return channels.layers, [channels for channels in layers]
        def g():
            channels = []
            return channels.layers
        """,
        """
        import compat.channels.layers
        def f(channels, layers=compat.channels.layers):
            return channels.layers, [channels for channels in layers]
        def g():
            channels = []
            return channels.layers
        """,
        """
        import compat.channels.layers
        def f(channels, layers=compat.channels.layers):
            return channels.layers, [channels for channels in layers]
        def g():
            channels = []
            return channels.layers
        """,
    ),
    "the native package's name is taken": (
        "import channels.layers\nfrom . import consumers\nchannels.layers.get_channel_layer()\n",
        "import compat.channels.layers\nfrom . import consumers\ncompat.channels.layers.get_channel_layer()\n",
        "import compat.channels.layers\nfrom . import consumers\ncompat.channels.layers.get_channel_layer()\n",
    ),
    "imports in all places": (
        """
        if TYPE_CHECKING:
            from channels.layers import BaseChannelLayer
        try:
            from channels.exceptions import StopConsumer
        except ImportError:
            StopConsumer = None
        class A:
            from channels.consumer import AsyncConsumer
            async def f(self):
                from channels.auth import login; from channels.exceptions import ChannelFull
        if a: from channels.routing import URLRouter, get_default_application
        """,
        """
        if TYPE_CHECKING:
            from compat.channels.layers import BaseChannelLayer
        try:
            from compat.channels.exceptions import StopConsumer
        except ImportError:
            StopConsumer = None
        class A:
            from compat.channels.consumer import AsyncConsumer
            async def f(self):
                from compat.channels.auth import login; from compat.channels.exceptions import ChannelFull
        if a: from compat.channels.routing import URLRouter, get_default_application
        """,
        """
        if TYPE_CHECKING:
            from consumers import BaseChannelLayer
        try:
            from consumers import StopConsumer
        except ImportError:
            StopConsumer = None
        class A:
            from consumers import AsyncConsumer
            async def f(self):
                from compat.channels.auth import login; from consumers import ChannelFull
        if a: from consumers import URLRouter; from compat.channels.routing import get_default_application
        """,
    ),
    "settings": (
        """
        INSTALLED_APPS = ["django.contrib.auth", 'channels', *MORE] + ["channels.apps.ChannelsConfig"]
        THIRD_PARTY_APPS: list[str] = ("channels",)
        INSTALLED_APPS += ["channels"]
        INSTALLED_APPS.append("channels")
        settings.configure(INSTALLED_APPS=["channels"], CHANNEL_LAYERS={"default": {"BACKEND": CHOSEN}})
        if "channels" in settings.INSTALLED_APPS: pass
        apps.is_installed("channels")
        CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
        """,
        """
        INSTALLED_APPS = ["django.contrib.auth", 'compat.channels', *MORE] + ["compat.channels.apps.ChannelsConfig"]
        THIRD_PARTY_APPS: list[str] = ("compat.channels",)
        INSTALLED_APPS += ["compat.channels"]
        INSTALLED_APPS.append("compat.channels")
        settings.configure(INSTALLED_APPS=["compat.channels"], CHANNEL_LAYERS={"default": {"BACKEND": CHOSEN}})
        if "compat.channels" in settings.INSTALLED_APPS: pass
        apps.is_installed("compat.channels")
        CHANNEL_LAYERS = {"default": {"BACKEND": "compat.channels.layers.InMemoryChannelLayer"}}
        """,
        """
        INSTALLED_APPS = ["django.contrib.auth", 'compat.channels', *MORE] + ["compat.channels.apps.ChannelsConfig"]
        THIRD_PARTY_APPS: list[str] = ("compat.channels",)
        INSTALLED_APPS += ["compat.channels"]
        INSTALLED_APPS.append("compat.channels")
        settings.configure(INSTALLED_APPS=["compat.channels"], CHANNEL_LAYERS={"default": {"BACKEND": CHOSEN}})
        if "compat.channels" in settings.INSTALLED_APPS: pass
        apps.is_installed("compat.channels")
        CHANNEL_LAYERS = {"default": {"BACKEND": "consumers.InMemoryChannelLayer"}}
        """,
    ),
    "names in strings": (
        """
        mock.patch("channels.layers.get_channel_layer")
        mock.patch(r'channels.layers.InMemoryChannelLayer.send')
        mock.patch("channels.db.close_old_connections")
        importlib.import_module("channels.layers"), importlib.import_module("channels")
        monkeypatch.setitem(sys.modules["channels.layers"], "x", 1)
        """,
        """
        mock.patch("compat.channels.layers.get_channel_layer")
        mock.patch(r'compat.channels.layers.InMemoryChannelLayer.send')
        mock.patch("compat.channels.db.close_old_connections")
        importlib.import_module("compat.channels.layers"), importlib.import_module("compat.channels")
        monkeypatch.setitem(sys.modules["compat.channels.layers"], "x", 1)
        """,
        """
        mock.patch("consumers.get_channel_layer")
        mock.patch(r'consumers.InMemoryChannelLayer.send')
        mock.patch("compat.channels.db.close_old_connections")
        importlib.import_module("compat.channels.layers"), importlib.import_module("compat.channels")
        monkeypatch.setitem(sys.modules["compat.channels.layers"], "x", 1)
        """,
    ),
    "the Redis layers": (
        'from channels_redis.core import RedisChannelLayer\nx = "channels_redis.serializers.registry"\n',
        'from compat.channels_redis.core import RedisChannelLayer\nx = "compat.channels_redis.serializers.registry"\n',
        'from consumers.layers.redis import RedisChannelLayer\nx = "consumers.layers.codec.registry"\n',
    ),
    "routes to consumers": (
        """
        from django.urls import path, re_path as url
        from . import consumers
        routes = [
            path("a/<int:room>/", consumers.A.as_asgi()),
            url(r"^b/$", Middleware(URLRouter([path("", view=consumers.B.as_asgi(x=1))]))),
        ]
        """,
        None,
        """
        from consumers import path, re_path as url
        from . import consumers
        routes = [
            path("a/<int:room>/", consumers.A.as_asgi()),
            url(r"^b/$", Middleware(URLRouter([path("", view=consumers.B.as_asgi(x=1))]))),
        ]
        """,
    ),
    "routes with a converter of their own": (
        """
        from django.urls import path, register_converter, reverse
        register_converter(Year, "yyyy")
        routes = [path("<yyyy:year>/", A.as_asgi())]
        """,
        None,
        """
        from consumers import path, register_converter
        from django.urls import reverse
        register_converter(Year, "yyyy")
        routes = [path("<yyyy:year>/", A.as_asgi())]
        """,
    ),
}
