"""Stand-ins for the vendors' APIs, so that the whole platform runs on one machine without credentials.

A stand-in speaks the vendor's documented wire format, keeps state in memory, sends signed webhooks with
the vendor's real retry habits, and misbehaves on command. It is for development and tests: no production
code path leads here, and nothing it holds survives the process.

What stands in for what:

* ``github*.py``: GitHub's REST API (apps, issues, pull requests, review comments, reactions) and App
  webhooks. Its answers and payloads are validated against GitHub's OpenAPI description, through the
  models githubkit generates from it. Not GitHub: there is no content behind a pull request (no diff, no
  commits), one installation sees every repository, and the limits on content creation are not counted
  (arm a ``rate_limit`` fault instead).

Vendor-neutral: ``app.py`` (composition), ``server.py`` (running it), ``faults.py``, ``calls.py``,
``webhooks.py`` (one delivery attempt and its log), ``admin.py``, ``page.py``.
"""
