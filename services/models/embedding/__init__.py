"""Embeddings: which models make them, and how each is spoken to."""
