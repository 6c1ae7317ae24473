"""`Shown`: the certificate that a terminator shows, which may become another while it listens.

Made by the terminator. A listening socket keeps the context that it was opened with, and one context shows a certificate of each
kind of key, whichever was loaded last: so each certificate has a context of its own, and a handshake goes over to the newest.
"""

from __future__ import annotations

import ssl

from wspulse.supervisor.tls.certificates.pem import Pem

__all__ = ["Shown"]


class Shown:
    """See the module. Raises what `Pem.context` does."""

    def __init__(self, pem: Pem) -> None:
        self.context = self._newest = pem.context()
        """What to listen with."""

    def show(self, pem: Pem) -> None:
        """To whoever shakes hands from now on. Raises as `Pem.context` does, and then nothing has changed."""
        self._newest = pem.context()
        # It is asked for clients that name no server too.
        self.context.sni_callback = self._go_over

    def _go_over(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest
