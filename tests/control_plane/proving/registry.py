"""A container registry, as far as Docker pulls from it: the images are OCI layouts below one directory."""

from __future__ import annotations

import http.server
import json
import re
import threading
from pathlib import Path

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
REQUEST = re.compile(r"/v2/(?P<name>[a-z0-9][a-z0-9._/-]*)/(?P<kind>manifests|blobs)/(?P<reference>[A-Za-z0-9._:-]+)")


class Registry(http.server.ThreadingHTTPServer):
    """Serves `LAYOUTS/NAME`, an OCI layout, as image NAME."""

    daemon_threads = True

    def __init__(self, layouts: Path, log: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.layouts, self.log = layouts, log
        self.port: int = self.server_address[1]

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="registry", daemon=True).start()

    def find(self, path: str) -> tuple[bytes, str, str] | None:
        """Content, media type and digest of what a path of the API names."""
        match = REQUEST.fullmatch(path)
        if match is None or ".." in match["name"]:
            return None
        layout = self.layouts / match["name"]
        digest = match["reference"]
        if match["kind"] == "manifests" and not DIGEST.fullmatch(digest):
            digest = self._tags(layout).get(digest, "")
        if not DIGEST.fullmatch(digest):
            return None
        blob = layout / "blobs" / digest.replace(":", "/")
        if not blob.is_file():
            return None
        content = blob.read_bytes()
        if match["kind"] == "blobs":
            return content, "application/octet-stream", digest
        return content, json.loads(content)["mediaType"], digest

    @staticmethod
    def _tags(layout: Path) -> dict[str, str]:
        try:
            index = json.loads((layout / "index.json").read_text())
        except FileNotFoundError:
            return {}
        return {
            manifest["annotations"]["org.opencontainers.image.ref.name"]: manifest["digest"]
            for manifest in index["manifests"]
        }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._send(b"{}", "application/json", None)
            return
        found = self.server.find(self.path)
        if found is None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(*found)

    do_HEAD = do_GET

    def _send(self, content: bytes, media_type: str, digest: str | None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        if digest is not None:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        with open(self.server.log, "a") as file:
            file.write(f"{self.log_date_time_string()} {format % arguments}\n")
