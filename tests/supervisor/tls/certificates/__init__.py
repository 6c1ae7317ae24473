"""Certificates: what is wrong with them, and which one is shown."""
