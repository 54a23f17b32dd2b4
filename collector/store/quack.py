"""Quack, DuckDB's own remote protocol: ``ATTACH 'quack:HOST:PORT'`` in another DuckDB shows our views as tables.

The extension's server runs in a database of its own, which is in memory and empty. For each statement it calls back.
The statement is then answered as the query API answers it, in all its limits, and the server is given a statement that
reads this answer instead. So nothing that a client says is ever run by the server itself, which could not end it.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import duckdb

from collector.errors import ConfigurationError, LithoscopeError
from collector.store.database import connect, one_line
from collector.store.extensions import load_extensions

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    Ask = Callable[[str], pa.Table]

_EXTENSIONS = ("httpfs", "quack")  # the numbers of sessions are httpfs's
_MOST_SESSIONS = 1_000
_KEPT_S = 10.0  # an answer: whoever reads it has begun by then, and what is being read stays


class QuackServer:
    """Listens until stopped, on this machine alone: the protocol has no TLS of its own."""

    def __init__(self, host: str, port: int, admit: Callable[[str], Ask], *, memory: str) -> None:
        """``admit`` takes a token and returns what answers its statements; both raise ``LithoscopeError`` to refuse.

        ``memory`` is what answers may take until they are read. Raises ``StoreError`` without the extensions.
        """
        self._uri = f"quack:{f'[{host}]' if ':' in host else host}:{port}"
        self._admit = admit
        self._sessions: OrderedDict[str, Ask] = OrderedDict()
        self._connection = connect(":memory:", memory=memory)
        try:
            load_extensions(self._connection, _EXTENSIONS, wanted_by="--quack", page="docs/quack.md")
        except BaseException:
            self._connection.close()
            raise

    def start(self) -> None:
        """Begin to serve; raises ``ConfigurationError`` when it cannot listen there."""
        one = self._connection
        self._call_back("quack_authentication_function", self._open_session, ["VARCHAR"] * 3, "BOOLEAN")
        self._call_back("quack_authorization_function", self._answer, ["VARCHAR"] * 2, "VARCHAR")
        one.execute("SET temp_directory = ''")
        try:
            # Who may listen where is the collector's own question; and the token is what admit says that it is.
            options = f"allow_other_hostname := true, disable_ssl := true, token := '{uuid.uuid4().hex}'"
            one.execute(f"CALL quack_serve('{self._uri}', {options})")
        except duckdb.Error as error:
            one.close()
            raise ConfigurationError(f"--quack cannot listen ({one_line(error)}): choose another address.") from error
        one.execute("SET enable_external_access = false")
        one.execute("SET lock_configuration = true")

    def _call_back(self, setting: str, function: Callable[..., bool | str], takes: list[Any], returns: str) -> None:
        name = f"lithoscope_{setting}"
        kind: Any = "special"  # a token may be NULL
        self._connection.create_function(name, function, takes, returns, null_handling=kind, side_effects=True)
        self._connection.execute(f"SET GLOBAL {setting} = '{name}'")

    def stop(self) -> None:
        """End the server and its sessions."""
        self._connection.execute(f"CALL quack_stop('{self._uri}')")
        self._connection.close()

    def _open_session(self, session: str, token: str | None, _: str) -> bool:
        try:
            self._sessions[session] = self._admit(token or "")
        except LithoscopeError:
            return False
        if len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return True

    def _answer(self, session: str, sql: str) -> str:
        """Return the statement to run instead: one that reads the answer, or one that fails with why there is none."""
        try:
            ask = self._sessions[session]
            return self._keep(ask(sql))
        except KeyError:
            return _failing("This session is over: attach again.")
        except LithoscopeError as error:
            return _failing(" ".join(filter(None, (str(error), getattr(error, "hint", "")))))
        except duckdb.Error as error:
            return _failing(f"The answer does not fit into memory ({one_line(error)}): ask for less.")

    def _keep(self, answer: pa.Table) -> str:
        name = f"answer_{uuid.uuid4().hex}"
        with self._connection.cursor() as cursor:
            cursor.register("answer", answer)
            cursor.execute(f"CREATE TABLE {name} AS FROM answer")
        dropping = threading.Timer(_KEPT_S, self._drop, [name])
        dropping.daemon = True
        dropping.start()
        return f"FROM {name}"

    def _drop(self, name: str) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {name}")
        except duckdb.Error:  # closed meanwhile, with all that it held
            return


def _failing(sentence: str) -> str:
    return f"SELECT error('{sentence.replace(chr(39), chr(39) * 2)}')"
