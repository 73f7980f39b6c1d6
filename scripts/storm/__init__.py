"""A storm over the whole platform: what `make storm` runs.

People write to the agent on all four sources (`people`, `places`) while every process, PostgreSQL and
Temporal are killed and started again at random (`kills`, `processes`), and the vendors have bad minutes of
their own. Then all is waited for until it is settled (`record`), and the vendors' state is compared with the
record (`verdict`): every comment must be answered, and no answer may be there twice. `__main__` does it
twice: once with the vendors' own ways of delivering, once with every delivery sent three times and shuffled.
"""
