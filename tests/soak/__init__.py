"""A soak: clients of every kind against uvicorn and Redis, and an account of every message.

    clients (a process) ──frames──> servers (processes) ──> layer ──> Redis ──> layer ──> handlers ──frames──> clients
        records                         records                                 records                       records
            └──────────────────────────────┴──────────> ledger ──> report <────────┴─────────────────────────────┘

Each process writes down what it sees, in the order in which it sees it (`records`); at the end, `ledger` compares.
"""
