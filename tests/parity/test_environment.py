"""What `import channels` means here, for the runner to check."""

import sys

import channels


def test_one_library_is_loaded(record_property):
    record_property("library", channels.__file__)
    assert ("consumers" in sys.modules) == channels.__spec__.name.startswith("compat.")
