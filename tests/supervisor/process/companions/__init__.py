"""Processes beside the workers."""
