"""How fast webhooks are taken, measured beside two other handlers: what `make bench ingest` runs.

`webhooks` makes the 10 KB events all contenders get, `load` sends them from a process of its own.
`contenders` starts Astra (gateway, dispatcher, Astra's record: a process each), the `reference` handler and
slack_`bolt`; `rounds` has them take turns and looks into the tables, `waits` times what follows a webhook,
`report` puts the figures beside each other.
"""
