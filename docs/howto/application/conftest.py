"""What the application reads when it is imported."""

import os

os.environ["SECRET"] = "a secret that only the tests know"
