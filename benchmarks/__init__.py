"""What developers measure: a file for each subject, run from the repository's root as `python -m benchmarks.NAME`.

Most of them print JSON. `mlx_cc bench` has the comparisons that users repeat on their own machine.
"""
