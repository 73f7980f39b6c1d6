"""The worker: thread workflows, the agent loop, and the prompt; all it knows it asks of other services."""
