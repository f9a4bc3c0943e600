"""The four consumers of the example, written to be copied."""

from .chat import ChatConsumer as ChatConsumer
from .commands import CommandsConsumer as CommandsConsumer
from .dialogue import DialogueConsumer as DialogueConsumer
from .ticker import TickerConsumer as TickerConsumer
