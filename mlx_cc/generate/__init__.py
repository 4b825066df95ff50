"""Reasoning chains by a local teacher: asked, written, checked, noted, joined into the training file."""
