"""The same scripts of events, played into Channels and into `compat`, and what each of them does, line by line."""
