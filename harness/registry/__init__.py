"""Implementations: how they are declared, found, described without being imported here, and loaded in a worker."""
