"""A connection's mailbox, and what asyncio does in a way of its own because anyio's is slower or not enough."""
