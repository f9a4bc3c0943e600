"""Four recipes for `BaseWSEndpoint`, each in a file of its own that stands alone."""

from starlette.routing import WebSocketRoute

from .actions import ActionsEndpoint
from .chat import ChatEndpoint
from .push import PushEndpoint
from .turns import TurnsEndpoint

routes = [
    WebSocketRoute("/endpoints/push", PushEndpoint),
    WebSocketRoute("/endpoints/actions", ActionsEndpoint),
    WebSocketRoute("/endpoints/turns", TurnsEndpoint),
    WebSocketRoute("/endpoints/chat/{room}", ChatEndpoint),
]
