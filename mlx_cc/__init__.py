"""mlx_cc: a contact centre's own transcripts, turned into a private, local analyst."""
