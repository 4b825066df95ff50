"""Agent fingerprints: measures with intervals, strengths and weaknesses, groups of similar agents, coaching plans."""
