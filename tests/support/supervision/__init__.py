"""What the supervisor starts: real workers, and pretended ones in a loop whose time is a number."""
