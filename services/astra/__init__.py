"""Astra, the system of record: who may call, which agents there are, and all that becomes of a task run."""
