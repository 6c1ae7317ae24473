"""Many clients for minutes, and who heard what."""
