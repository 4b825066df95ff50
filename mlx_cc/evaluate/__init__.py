"""Evaluation: every figure with its n and a 95% interval, beside baselines and the base model."""
