"""The tools: everything an agent can read or do beyond its own words, one file an integration."""
