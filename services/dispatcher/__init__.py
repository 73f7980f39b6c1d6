"""The way in: inbox, signatures, classification, threads and their order, waking workflows.

A delivery goes ingest → inbox → relay → classify → thread event → task runs → ring, each step on record
before the next. What an agent does with an event is left to the worker.
"""
