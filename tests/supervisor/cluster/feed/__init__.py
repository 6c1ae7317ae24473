"""Rooms' messages of all hosts, in one order."""
