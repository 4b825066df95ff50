"""Comparisons with mlx-lm that a user can repeat on the own machine; a file for each kind of work."""
