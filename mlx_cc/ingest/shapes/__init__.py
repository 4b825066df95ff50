"""What several formats share: objects, rows, utterances, subtitles, quoted mail. A format itself is a file above."""
