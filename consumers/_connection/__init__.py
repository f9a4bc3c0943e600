"""The life of one connection: what reads, what handles, what sends, and what ends it."""
