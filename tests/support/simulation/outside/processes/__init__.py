"""Several processes of a simulated history, and what is between them: the bus, links, streams, descriptors that travel."""
