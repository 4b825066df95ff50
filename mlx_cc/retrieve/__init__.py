"""Similar earlier conversations: an index of what was said, search in it, and what a model makes of it."""
