"""Nothing is offered to strangers by mistake: who listens where others reach it must ask who they are."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING

from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.settings import Address, Settings


def check_exposure(listening: Mapping[str, Address | None], settings: Settings) -> None:
    """Raise ``ConfigurationError`` when strangers would be served; ``listening`` are addresses by option."""
    if settings.insecure:
        return
    public = [f"--{name} {address}" for name, address in listening.items() if address and not is_local(address.host)]
    if public and not settings.asks_who:
        raise ConfigurationError(
            f"{', '.join(public)} can be reached from other machines, and anybody there could read all traces: name a "
            "file of API keys with --keys (`lithoscope key add` makes one), or say --insecure if the network is safe."
        )
    if listening["quack"]:
        _check_quack(listening["quack"], settings)
    if settings.asks_who and listening["dashboard"] and not (settings.dashboard_password or settings.dashboard_login):
        raise ConfigurationError(
            "The ports want to know who asks, and the dashboard would show everything to anybody: set "
            "dashboard_password to what `lithoscope key password` prints, or dashboard_login, or say --dashboard off."
        )


def _check_quack(address: Address, settings: Settings) -> None:
    if not is_local(address.host):
        raise ConfigurationError(
            f"--quack {address} can be reached from other machines, and DuckDB's protocol has no TLS: listen on "
            "127.0.0.1 and put a proxy with TLS in front, or say --insecure if the network is safe (docs/quack.md)."
        )
    if settings.tls_client_ca is not None and settings.keys is None:
        raise ConfigurationError(
            "Clients of --quack show no certificate, so that anybody on this machine could read all traces: name a "
            "file of API keys with --keys."
        )


def check_dashboard(option: str, address: Address, settings: Settings) -> None:
    """Raise ``ConfigurationError`` when a dashboard on its own would be open to strangers."""
    asks = settings.dashboard_password or settings.dashboard_login
    if not (settings.insecure or asks or is_local(address.host)):
        raise ConfigurationError(
            f"{option} {address} can be reached from other machines, and anybody there could read all traces: set "
            "LITHOSCOPE_DASHBOARD_PASSWORD to what `lithoscope key password` prints, or LITHOSCOPE_DASHBOARD_LOGIN, "
            "or LITHOSCOPE_INSECURE=true if the network is safe."
        )


def is_local(host: str) -> bool:
    """Whether a name or an address means this machine alone; one that cannot be looked up does, nobody reaches it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
