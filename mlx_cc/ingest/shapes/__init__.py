"""Code that several formats share: objects, rows, utterances, subtitles, quoted mail."""
