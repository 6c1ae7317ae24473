"""The application of the contract's end-to-end tests, as a worker loads it: `app` notes every callback in a file and carries
out what clients order; each order is a function here, by its name.
"""
