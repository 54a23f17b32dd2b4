"""PostgreSQL and RabbitMQ from Debian's packages, on free loopback ports and scratch folders."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pika
import psycopg
from pika.exceptions import AMQPError

from sample_traces.recording import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sample_traces.shop.system import State

PACKAGES = ("postgresql", "rabbitmq-server")
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
POSTGRES_FOLDERS = Path("/usr/lib/postgresql")
# With it in place, what apt installs does not start a server of the machine's own.
DO_NOT_START = Path("/usr/sbin/policy-rc.d")
SCHEMA = Path(__file__).with_name("schema")
START_S = 60.0
POLL_S = 0.2
SETTLED_POLLS = 10
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "200",
    "max_prepared_transactions": "100",
    "lc_messages": "C",
}


def install_missing() -> None:
    """Install what Debian has and this machine lacks, or say what to install."""
    if postgres_folder() and RABBITMQ.exists():
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    apt = shutil.which("apt-get")
    if os.geteuid() or not apt:
        raise SystemExit(f"The shop needs PostgreSQL and RabbitMQ: run 'sudo {' '.join(command)}' and try again.")
    quiet = not DO_NOT_START.exists()
    if quiet:
        DO_NOT_START.write_text("#!/bin/sh\nexit 101\n")
        DO_NOT_START.chmod(0o755)
    try:
        everything = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([apt, "update"], check=True, env=everything)  # noqa: S603  (our own)
        subprocess.run([apt, *command[1:]], check=True, env=everything)  # noqa: S603  (our own)
    finally:
        if quiet:
            DO_NOT_START.unlink()


def postgres_folder() -> Path | None:
    """Return the folder of the newest PostgreSQL's programs."""
    found = sorted(POSTGRES_FOLDERS.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def postgres(scratch: Path, state: State) -> Iterator[str]:
    """Run PostgreSQL with the databases of a state; yield how to connect, but for the database's name."""
    programs, data, port = postgres_folder(), scratch / "postgres", free_port()
    if programs is None:
        raise SystemExit("PostgreSQL has gone since the recording began: install it anew.")
    user = hand_over(data, "postgres")
    initdb = [str(programs / "initdb"), "--pgdata", str(data), "--username", "shop", "--auth", "trust"]
    initdb += ["--no-sync", "--locale", "C", "--encoding", "UTF8"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=user, cwd=data)  # noqa: S603  (our own)
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    command += [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    with (scratch / "postgres.log").open("w") as log, running(command, {}, user=user, output=log):
        address = f"host=127.0.0.1 port={port} user=shop"
        _retry(lambda: psycopg.connect(f"{address} dbname=postgres").close(), psycopg.Error)
        _create_databases(address, state)
        yield address


def _create_databases(address: str, state: State) -> None:
    with psycopg.connect(f"{address} dbname=postgres", autocommit=True) as connection:
        for name in sorted(set(state.databases.values())):
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
    for service, name in state.databases.items():
        with psycopg.connect(f"{address} dbname={name}") as connection:
            connection.execute((SCHEMA / f"{service}.sql").read_bytes())


@contextmanager
def rabbitmq(scratch: Path, state: State) -> Iterator[int]:
    """Run RabbitMQ with the queues of a state, and the Erlang port mapper that it needs; yield its port."""
    folder, port, mapper = scratch / "rabbitmq", free_port(), str(free_port())
    user = hand_over(folder, "rabbitmq")
    plugins = folder / "no_plugins"
    plugins.write_text("[].")
    settings = {
        "HOME": str(folder),
        "ERL_EPMD_PORT": mapper,
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_ALLOW_INPUT": "1",  # the script then becomes the server, which SIGTERM stops
        "RABBITMQ_NODENAME": "shop@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        # Busy waiting would take processor time from the services.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none -noinput -kernel inet_dist_use_interface {127,0,0,1}",
    }
    with ExitStack() as stack:
        log = stack.enter_context((scratch / "rabbitmq.log").open("w"))
        epmd = [shutil.which("epmd") or "epmd", "-port", mapper, "-address", "127.0.0.1"]
        stack.enter_context(running(epmd, {}, user=user, output=log))
        stack.enter_context(running([str(RABBITMQ)], settings, user=user, output=log))
        _retry(lambda: broker(port).close(), (AMQPError, OSError))
        connection = broker(port)
        for queue in queues(state):
            connection.channel().queue_declare(queue)
        connection.close()
        yield port


def broker(port: int) -> pika.BlockingConnection:
    """Connect to the recording's RabbitMQ."""
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))


def queues(state: State) -> list[str]:
    """Name the queues of a state."""
    return sorted({edge.queue for edge in state.edges if edge.queue})


def wait_until_settled(port: int, state: State) -> None:
    """Wait until no queue has held a message for a while: whatever was under way has then arrived."""
    connection = broker(port)
    channel, empty = connection.channel(), 0
    deadline = time.monotonic() + START_S
    while empty < SETTLED_POLLS and time.monotonic() < deadline:
        waiting = sum(channel.queue_declare(queue, passive=True).method.message_count for queue in queues(state))
        empty = 0 if waiting else empty + 1
        time.sleep(POLL_S)
    connection.close()


def hand_over(folder: Path, user: str) -> str | None:
    """Make a folder for a server, which must not run as root; return whom to run it as, None for oneself."""
    folder.mkdir(mode=0o700)
    if os.geteuid():
        return None
    folder.parent.chmod(0o711)
    shutil.chown(folder, user, user)
    return user


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _retry(attempt: Callable[[], object], errors: type[Exception] | tuple[type[Exception], ...]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            attempt()
        except errors:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return
