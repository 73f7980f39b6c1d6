"""The console: pages on which a person sees runs, served by the gateway.

Everything shown is read through Astra's stubs with the token of the person who signed in, so the console sees
what that principal may see and nothing else. It holds no state: a session travels in a sealed cookie.
"""
