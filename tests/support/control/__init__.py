"""The control socket, from either end: clients that say whatever a test wants, and servers that are the test."""
