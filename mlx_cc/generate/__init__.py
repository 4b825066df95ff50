"""A local teacher model writes reasoning chains: checked, kept in a journal, joined into the training file."""
