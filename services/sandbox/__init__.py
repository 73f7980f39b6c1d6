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

* ``slack*.py``: a Slack workspace's Web API and its Events API. The arguments of each call are checked with
  the signatures of Slack's own SDK. Not Slack: no blocks, files or profiles, the bot is in every channel, and
  calls are not counted towards Slack's rate limits (arm a ``rate_limit`` fault instead).

* ``plane*.py``: a Plane workspace's REST API and its webhooks of both generations. The tests check its
  answers with the models of Plane's own SDK. Not Plane: work items have no states, labels or cycles to speak
  of, every project is open to the key, and nothing is cleaned out of HTML.

* ``bedrock*.py``, ``anthropic*.py``: Bedrock's ConverseStream and Anthropic's Messages, each an application
  of its own that tests serve. Requests are checked by botocore's service model and the types of Anthropic's
  SDK; replies are told ahead (``model_world.py``), and a prompt cache is modelled (``prompt_cache.py``). Not
  theirs: nothing is understood, nothing expires, signatures are looked at and not verified.

* ``google*.py``: Google Drive's API v3 (files, comments, replies, changes, channels), the Docs API v1 with
  its arithmetic of places, sign-in, notifications of watch channels, and Workspace Events pushed by Pub/Sub.
  Each call is checked with excerpts of Google's discovery documents. Not Google: no contents of files but
  documents', those with one tab and one style a paragraph, no permissions but "anybody with the link", a
  search that finds at once, and the subscription to Workspace Events is there without being made.

* ``brave.py``: Brave's web search over the few pages it is given.

Vendor-neutral: ``app.py`` (composition), ``vendor.py`` (what a vendor hands in), ``server.py`` (running it),
``faults.py``, ``calls.py``, ``webhooks.py`` (one delivery attempt, how it travels, and its log),
``admin.py``, ``page.py``.
"""
