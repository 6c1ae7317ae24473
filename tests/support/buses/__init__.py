"""Every kind of room bus on a stage of one interface, and a feed in memory for those that have a gateway."""
