"""HTTP and ASGI applications, and what talks to them."""
