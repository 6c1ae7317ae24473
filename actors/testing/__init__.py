"""Help for the tests of applications: a server that runs in the test, and clients to talk to it."""
