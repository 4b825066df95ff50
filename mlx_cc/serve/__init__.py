"""Where people and programs talk with the analyst."""
