"""Channels' exceptions, the same classes as `consumers`'."""

from consumers.exceptions import AcceptConnection as AcceptConnection
from consumers.exceptions import ChannelFull as ChannelFull
from consumers.exceptions import DenyConnection as DenyConnection
from consumers.exceptions import InvalidChannelLayerError as InvalidChannelLayerError
from consumers.exceptions import MessageTooLarge as MessageTooLarge
from consumers.exceptions import RequestAborted as RequestAborted
from consumers.exceptions import RequestTimeout as RequestTimeout
from consumers.exceptions import StopConsumer as StopConsumer
