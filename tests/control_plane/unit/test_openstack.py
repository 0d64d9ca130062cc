"""The APIs' client against a server of its own, which answers as the services do."""

from __future__ import annotations

import http.server
import json
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any

from proving.errors import ProveError
from proving.openstack import ApiError, Connection, Databases, Images
from proving.processes import free_port


class Cloud(http.server.ThreadingHTTPServer):
    """Takes any password, and a token for as many requests as it is told."""

    daemon_threads = True

    def __init__(self, requests_for_a_token: int = 1000) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests_for_a_token = requests_for_a_token
        self.tokens: dict[str, int] = {}
        self.seen: list[tuple[str, str, bytes]] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Cloud

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v3/auth/tokens":
            token = f"token-{len(self.server.tokens)}"
            self.server.tokens[token] = self.server.requests_for_a_token
            self.reply(201, {"token": {"project": {"id": "p1"}}}, token)
            return
        token = self.headers["X-Auth-Token"]
        if self.server.tokens.get(token, 0) <= 0:
            self.reply(401, {"error": "expired"})
            return
        self.server.tokens[token] -= 1
        self.server.seen.append((self.command, self.path, body))
        self.reply(*self.server.answers.get(self.path, (200, {})))

    do_POST = do_PUT = do_DELETE = do_GET

    def reply(self, status: int, body: Any, token: str = "") -> None:
        content = json.dumps(body).encode() if body else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if token:
            self.send_header("X-Subject-Token", token)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


class Client(unittest.TestCase):
    def cloud(self, requests_for_a_token: int = 1000) -> tuple[Cloud, Connection, str]:
        cloud = Cloud(requests_for_a_token)
        self.addCleanup(cloud.server_close)
        self.addCleanup(cloud.shutdown)
        url = f"http://127.0.0.1:{cloud.server_address[1]}"
        about = {"auth_url": f"{url}/v3", "username": "u", "password": "p", "project_name": "demo"}
        return cloud, Connection(about), url

    def test_a_token_is_used_until_it_has_run_out(self) -> None:
        cloud, connection, url = self.cloud(requests_for_a_token=2)
        for _ in range(5):
            connection.request("GET", f"{url}/v1/things")
        self.assertEqual((len(cloud.seen), len(cloud.tokens)), (5, 3))

    def test_a_user_without_rights_is_no_endless_matter(self) -> None:
        _, connection, url = self.cloud(requests_for_a_token=0)
        with self.assertRaises(ApiError) as refused:
            connection.request("GET", f"{url}/v1/things")
        self.assertEqual(refused.exception.status, 401)

    def test_a_refusal_is_told_in_the_words_of_the_service(self) -> None:
        cloud, connection, url = self.cloud()
        cloud.answers["/v1/p1/instances"] = (400, {"badRequest": {"message": "no such flavor"}})
        with self.assertRaises(ApiError) as refused:
            Databases(connection, f"{url}/v1").create({"name": "a"})
        self.assertIn("no such flavor", str(refused.exception))

    def test_a_service_that_is_not_there_is_told(self) -> None:
        _, connection, _ = self.cloud()
        with self.assertRaises(ProveError) as refused:
            connection.request("GET", f"http://127.0.0.1:{free_port()}/")
        self.assertIn("refused", str(refused.exception))

    def test_an_image_is_sent_whole(self) -> None:
        cloud, connection, url = self.cloud()
        cloud.answers["/v2/images"] = (201, {"id": "i1"})
        cloud.answers["/v2/images/i1"] = (200, {"id": "i1", "status": "active", "size": 3})
        with tempfile.NamedTemporaryFile() as image:
            Path(image.name).write_bytes(b"abc")
            stored = Images(connection, url).create(Path(image.name), {"name": "n"})
        self.assertEqual(stored["size"], 3)
        self.assertIn(("PUT", "/v2/images/i1/file", b"abc"), cloud.seen)

    def test_an_instance_is_gone_when_it_is_not_listed(self) -> None:
        cloud, connection, url = self.cloud()
        trove = Databases(connection, f"{url}/v1")
        cloud.answers["/v1/p1/instances"] = (200, {"instances": [{"id": "a"}]})
        self.assertFalse(trove.is_gone("a"))
        self.assertTrue(trove.is_gone("b"))


if __name__ == "__main__":
    unittest.main()
