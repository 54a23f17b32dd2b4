"""A webhook gets what was signed, nobody else gets it, and what goes wrong is told without its secrets."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading

import pytest

from collector.webhook import DELIVERY, SIGNATURE, Webhook, WebhookError, check_address
from tests.collector.webhooks import receiving

SECRET = b"0123456789abcdef"


def test_a_message_is_signed() -> None:
    """HMAC-SHA256 of the very bytes that came, and which delivery it is."""
    with receiving() as receiver:
        Webhook(receiver.url, SECRET).post(b'{"a": 1}', "id-open")
    ((headers, body),) = receiver.taken
    assert body == b'{"a": 1}'
    assert headers[SIGNATURE] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    assert (headers[DELIVERY], headers["Content-Type"]) == ("id-open", "application/json")


def test_without_a_secret_nothing_is_signed() -> None:
    """A signature with an empty key would say nothing."""
    with receiving() as receiver:
        Webhook(receiver.url).post(b"{}", "a")
    assert SIGNATURE not in receiver.taken[0][0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    """Where they lead to gets nothing, and the message counts as not taken."""
    with (
        receiving() as other,
        receiving(status, Location=other.url) as receiver,
        pytest.raises(WebhookError, match=rf"answered {status}\."),
    ):
        Webhook(receiver.url).post(b"{}", "a")
    assert (len(receiver.refused), other.taken) == (1, [])


def test_how_long_to_wait_is_heard() -> None:
    """What a busy server says in Retry-After, if that is seconds."""
    with receiving(503, Retry_After="7") as receiver, pytest.raises(WebhookError) as caught:
        Webhook(receiver.url).post(b"{}", "a")
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 banana\r\n\r\n"])
def test_no_error_names_more_than_the_host(answer: bytes) -> None:
    """The path of a webhook is a secret to most who have one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        webhook = Webhook(f"http://127.0.0.1:{port}/services/T0KEN", SECRET)
        server.settimeout(20)
        with pytest.raises(WebhookError) as caught:
            _post_to(server, webhook, answer)
    assert str(caught.value).startswith(f"http://127.0.0.1:{port} ")
    assert "T0KEN" not in f"{caught.value!r} {caught.value.__cause__!r} {webhook!r}"
    assert "0123" not in repr(webhook)


def _post_to(server: socket.socket, webhook: Webhook, answer: bytes) -> None:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        webhook.post(b"{}", "a")
    finally:
        thread.join()


def test_nobody_there_is_told() -> None:
    """With the reason that the machine gives."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(WebhookError, match=rf"^http://127\.0\.0\.1:{port} cannot be reached \(Connection refused\)\.$"):
        Webhook(f"http://127.0.0.1:{port}/services/T0KEN").post(b"{}", "a")


def test_a_webhook_that_does_not_answer_is_given_up_in_time() -> None:
    """It is tried again later."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        webhook = Webhook(f"http://127.0.0.1:{server.getsockname()[1]}/")
        with pytest.raises(WebhookError, match="cannot be reached"):
            webhook.post(b"{}", "a", timeout_s=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "chat.example.org",
        "ftp://a/b",
        "file:///etc/passwd",
        "http://",
        "https://a b/c",
        "http://a:x/",
        "http://ä/",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """In words that do not repeat it."""
    with pytest.raises(ValueError, match="is no address of a webhook") as caught:
        check_address(text)
    assert not text or text not in str(caught.value)


def test_passwords_belong_in_no_address() -> None:
    """They would be in every error."""
    with pytest.raises(ValueError, match="has a user or a password in it"):
        check_address("https://ada:secret@hooks.example.org/")


def test_addresses_are_taken() -> None:
    """With ports and IPv6 too."""
    for text in ("https://hooks.slack.com/services/T/B/x", "http://[::1]:8065/hooks/x?y=z"):
        check_address(text)
