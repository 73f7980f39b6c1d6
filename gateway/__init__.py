"""HTTP in, gRPC out: webhooks, tasks, health, metrics. It holds no rules and no state of its own."""
