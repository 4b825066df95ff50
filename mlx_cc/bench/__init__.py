"""Measurements a user can repeat on their own machine; a file a measurement."""
