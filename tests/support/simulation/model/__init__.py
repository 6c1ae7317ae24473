"""What is known of a simulated history, and what must be true of it."""
