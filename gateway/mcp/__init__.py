"""The tools over the Model Context Protocol, for clients that are not agents of ours."""
