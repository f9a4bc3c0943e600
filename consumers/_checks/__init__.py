"""Mistakes in an application's code, found before a client meets them."""
