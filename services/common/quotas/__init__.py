"""Limits that all processes share, each process holding a small part of them: `shared.py` is the door."""
