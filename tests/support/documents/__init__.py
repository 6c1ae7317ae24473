"""The documents and the import statements: what is in them, and what of them is generated."""
