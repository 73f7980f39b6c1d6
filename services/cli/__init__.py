"""The `astra` command: composes the services, or talks to those that run."""
