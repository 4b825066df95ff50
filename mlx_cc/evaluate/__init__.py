"""Honest measurement: every figure with its n and a 95% interval, beside the base model and a constant."""
