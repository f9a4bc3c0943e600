"""A chat with rooms for their members."""
