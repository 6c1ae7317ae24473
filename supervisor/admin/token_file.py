"""`TokenFile`: the token that the operator shows before anything is changed, read from a file that may be written anew.

Made by the supervisor, which refuses to start with a bad one, and by the process of the admin address, which looks at each token
that it is shown whether the file is another one by now. It logs what is wrong with that once, and never the token.
"""

from __future__ import annotations

import hmac
import logging
import re
from pathlib import Path

from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.host.small_file import read_small_file

__all__ = ["TokenFile"]

_TOKEN = re.compile(r"[\x21-\x7e]{16,256}")
"""What a header can hold. Of 16 letters and more nobody finds it by trying: a wrong one takes a second."""

_logger = logging.getLogger("wspulse.supervisor")


class TokenFile:
    """Raises SettingError when the file has no token."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        try:
            self._seen: object = self._identity()
            self._token = self._read()
        except OSError as error:
            raise SettingError("--admin-token-file", f"{path} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise SettingError("--admin-token-file", f"{path} {error}") from None

    def matches(self, given: str) -> bool:
        """Whether this is the token, by a comparison that takes as long for any wrong one."""
        self._look()
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def _look(self) -> None:
        """A file that cannot be used leaves the token that was read last."""
        seen: object
        try:
            seen = self._identity()
        except OSError as error:
            seen = error.errno
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._token = self._read()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            fields = {"file": str(self._path), "reason": reason}
            _logger.warning("the token file cannot be used; the previous token stays valid", extra=fields)

    def _identity(self) -> tuple[int, int, int, int]:
        status = self._path.stat()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self) -> bytes:
        try:
            text = read_small_file(self._path).decode().strip()
        except UnicodeDecodeError:
            raise ValueError("is not text") from None
        if not _TOKEN.fullmatch(text):
            raise ValueError(
                "contains no token: one line of 16 to 256 letters, digits and punctuation marks, without spaces"
            )
        return text.encode()
