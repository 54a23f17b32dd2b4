"""The error tree: each message says what is wrong, where, and the remedy.

An error is permanent (the same request will fail again) or retryable (it may pass later); how that becomes a
gRPC or an HTTP status is decided in one table, ``collector.receiver.status``.
"""

from __future__ import annotations


class LithoscopeError(Exception):
    """Base of everything Lithoscope raises on purpose; ``str()`` is one sentence that a user can act on."""

    code = "internal"


class ConfigurationError(LithoscopeError):
    """A setting, an option or an argument is wrong."""

    code = "configuration"


class NoTracesError(LithoscopeError):
    """What is asked about has traces, but none in the window."""

    code = "no_traces"


class RequestError(LithoscopeError):
    """A telemetry request was refused as a whole."""

    code = "refused"
    retry_after_s: int | None = None


class InvalidRequestError(RequestError):
    """The bytes are not what the content type promises; permanent."""

    code = "invalid_argument"


class PayloadTooLargeError(RequestError):
    """The request is over the size limit once decompressed; permanent."""

    code = "too_large"


class UnsupportedMediaTypeError(RequestError):
    """Content type or content encoding is none that OTLP names; permanent."""

    code = "unsupported_media_type"


class UnauthenticatedError(RequestError):
    """The request carries no valid key; permanent."""

    code = "unauthenticated"


class ForbiddenError(RequestError):
    """The request carries a valid key that is good for something else; permanent."""

    code = "forbidden"


class OverloadedError(RequestError):
    """No room or the store fails; the client keeps its data and retries after ``retry_after_s``."""

    code = "unavailable"
    retry_after_s = 1


class StoreError(LithoscopeError):
    """The store cannot be opened, read or written."""

    code = "store"


class UnstorableError(StoreError):
    """The store can never take this batch, however often it is tried; permanent."""


class StoreBusyError(StoreError):
    """Another process holds the database file."""


class SchemaVersionError(StoreError):
    """The database file was written by a newer version."""


class QueryError(LithoscopeError):
    """A query was refused or stopped; ``code`` and ``hint`` reach the client beside the message.

    ``code`` is one of ``bad_sql``, ``not_a_read``, ``time_limit``, ``row_limit``, ``memory_limit``, ``not_found``.
    """

    def __init__(self, message: str, *, code: str = "bad_sql", hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        if hint:
            self.add_note(hint)  # what a traceback shows in a notebook


class UnreachableError(LithoscopeError):
    """Nothing answers where a query API should be; it may be starting."""

    code = "unreachable"


class ImportFileError(LithoscopeError):
    """A file cannot be imported as a whole (unreadable, or no format recognised)."""

    code = "import"


class BackupError(LithoscopeError):
    """A backup cannot be made, or a file is none that could be restored."""

    code = "backup"
