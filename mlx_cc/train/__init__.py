"""Training: LoRA on the tree. `python -m mlx_cc.train --config configs/mistral_7b_mac.yaml`."""
