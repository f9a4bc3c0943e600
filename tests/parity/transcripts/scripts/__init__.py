"""The scripts."""

from ..script import SCRIPTS as SCRIPTS
from . import closing as closing
from . import endings as endings
from . import errors as errors
from . import frames as frames
from . import http as http
from . import layers as layers
from . import messages as messages
