"""Several hosts inside one loop: real shards, and between them a directory, streams and ways that are pretended, with delays and
failures that the test chooses."""
