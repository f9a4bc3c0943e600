"""The five consumers of the example, written to be copied."""

from .answer import AnswerConsumer as AnswerConsumer
from .answer import ask as ask
from .chat import ChatConsumer as ChatConsumer
from .commands import CommandsConsumer as CommandsConsumer
from .dialogue import DialogueConsumer as DialogueConsumer
from .ticker import TickerConsumer as TickerConsumer
