"""pyright's language server, as an editor speaks with it: JSON over its standard input and output."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CAPABILITIES = {"textDocument": {"hover": {"contentFormat": ["markdown"]}}, "workspace": {"configuration": True}}


class LanguageServer:
    """A language server that runs.

    Args:
        to_it: its standard input.
        from_it: its standard output.
        folder: the project's.
    """

    def __init__(self, to_it: IO[bytes], from_it: IO[bytes], folder: Path) -> None:
        self._to_it = to_it
        self._from_it = from_it
        self._requests = 0
        workspace = {"uri": folder.as_uri(), "name": folder.name}
        arguments = {"processId": None, "rootUri": folder.as_uri(), "workspaceFolders": [workspace]}
        self._request("initialize", {**arguments, "capabilities": CAPABILITIES})
        self._notify("initialized", {})

    def hovers(self, file: Path) -> Iterator[str | None]:
        """Yield what an editor shows of the last name of each line of a file; None: nothing."""
        uri, text = file.as_uri(), file.read_text(encoding="utf-8")
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self._notify("textDocument/didOpen", {"textDocument": document})
        for number, line in enumerate(text.splitlines()):
            position = {"line": number, "character": len(line) - 1}
            shown = self._request("textDocument/hover", {"textDocument": {"uri": uri}, "position": position})
            yield shown and shown["contents"]["value"]

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        self._requests += 1
        self._write({"id": self._requests, "method": method, "params": params})
        while True:
            message = self._read()
            if "method" in message and "id" in message:
                self._write({"id": message["id"], "result": self._answer(message)})
            elif message.get("id") == self._requests:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def _answer(self, asked: dict[str, Any]) -> Any:
        """Return the answer to a question of the server's."""
        if asked["method"] != "workspace/configuration":
            return None
        items = asked["params"]["items"]
        return [{"pythonPath": sys.executable} if item.get("section") == "python" else {} for item in items]

    def _notify(self, method: str, params: dict[str, Any]) -> None:
        self._write({"method": method, "params": params})

    def _write(self, message: dict[str, Any]) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._to_it.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self._to_it.flush()

    def _read(self) -> dict[str, Any]:
        length = 0
        while header := self._from_it.readline().strip().lower():
            name, _, value = header.partition(b":")
            length = int(value) if name == b"content-length" else length
        if not length:
            raise RuntimeError("the language server has ended")
        message: dict[str, Any] = json.loads(self._from_it.read(length))
        return message


@contextmanager
def language_server(folder: Path) -> Iterator[LanguageServer]:
    """Run pyright's language server for a folder."""
    command = [sys.executable, "-m", "pyright.langserver", "--stdio"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            yield LanguageServer(process.stdin, process.stdout, folder)
        finally:
            process.kill()
