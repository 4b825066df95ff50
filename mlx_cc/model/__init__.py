"""The model room: load, tree, read, decode, and the machine they run on."""
