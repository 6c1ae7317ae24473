"""Certificates and their keys: read from files, checked, and shown. It may import `errors`. Begin with `certificate`."""
