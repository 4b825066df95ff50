"""Ways for people and programs to talk with the analyst."""
