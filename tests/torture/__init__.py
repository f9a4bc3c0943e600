"""Groups with history under everything that can go wrong: `python -m tests.torture` (`make torture`).

Two servers, clients that hop between them, a Redis behind a proxy. Servers are killed. Redis goes on, goes back to an
older copy of its data, or comes back empty. Connections are cut in mid-message, and mailboxes are full. A witness
beside Redis notes the one true order of each group's messages. In the end each client's messages are held against it.
"""
