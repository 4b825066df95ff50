"""Reasoning chains by a local teacher model: written, checked, kept in a journal, joined into the training file."""
