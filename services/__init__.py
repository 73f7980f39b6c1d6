"""Astra's services, one folder a process; each speaks to the others through gRPC stubs only."""
