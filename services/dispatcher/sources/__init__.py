"""One file a source: what its deliveries look like, how they are verified, which events they hold."""
