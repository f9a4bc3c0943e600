"""The porting tool, `python -m compat port PATH`: it rewrites a project's imports of Channels.

It needs libcst, from the extra `port`.
"""
