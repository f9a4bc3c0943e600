"""Check what `make dist` has built: the wheel in an empty environment serves the README's chat."""

import asyncio
import json
import os
import re
import socket
import subprocess
import tarfile
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"

PATIENCE = 30
"""Seconds for the server to start, and for a message to come."""

CLIENT = """
import asyncio, json, sys
from websockets.asyncio.client import connect

async def entered(address):
    client = await connect(address)
    assert json.loads(await client.recv())["type"] == "joined"
    return client

async def main():
    ann, bob = [await entered(sys.argv[1]) for _ in range(2)]
    await ann.send(json.dumps({"type": "message", "text": "hello"}))
    for client in (ann, bob):
        print(json.loads(await client.recv())["text"])
        await client.close()

asyncio.run(main())
"""


def built(pattern: str) -> Path:
    """Return the one file in `dist/` that this pattern names."""
    [file] = DIST.glob(pattern)
    return file


def check_contents(wheel: Path, sdist: Path) -> None:
    """Look at what is in the two: types and pages are there, and nothing that is not a part of the product."""
    names = ZipFile(wheel).namelist()
    needed = {
        "consumers/py.typed",
        "consumers/client/consumers.js",
        "consumers/client/consumers.d.ts",
        "compat/hook.py",
    }
    if missing := needed - set(names):
        raise SystemExit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    if others := {name.partition("/")[0] for name in names if ".dist-info/" not in name} - {"consumers", "compat"}:
        raise SystemExit(f"{wheel.name} has {', '.join(sorted(others))}, which would be importable")
    with tarfile.open(sdist) as archive:
        folders = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
    if missing := {"tests", "docs", "benchmarks", "README.md", "CHANGELOG.md", "LICENSE"} - folders:
        raise SystemExit(f"{sdist.name} lacks {', '.join(sorted(missing))}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def wait_for_server(port: int, server: "subprocess.Popen[bytes]") -> None:
    async with asyncio.timeout(PATIENCE):
        while server.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
    raise SystemExit(f"the server ended with status {server.returncode}")


def run_chat(wheel: Path, folder: Path) -> None:
    """Install the wheel into an empty environment, and have two clients talk in the README's chat."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[typed,server]", "fastapi"], check=True)
    [chat, *_] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    (folder / "chat.py").write_text(chat, encoding="utf-8")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    serve = [python, "-m", "consumers", "serve", "chat:app", "--port", str(port)]
    with subprocess.Popen(serve, cwd=folder, env=environment) as server:
        try:
            asyncio.run(wait_for_server(port, server))
            address = f"ws://127.0.0.1:{port}/chat/1"
            command = [python, "-c", CLIENT, address]
            heard = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE
            )
        finally:
            server.terminate()
    if heard.stdout.split() != ["hello", "hello"]:
        raise SystemExit(f"The README's chat was heard as {heard.stdout!r}\n{heard.stderr}")


def main() -> None:
    wheel, sdist = built("*.whl").resolve(), built("*.tar.gz")
    check_contents(wheel, sdist)
    with TemporaryDirectory() as folder:
        run_chat(wheel, Path(folder))
    print(json.dumps({"wheel": wheel.name, "bytes": wheel.stat().st_size, "chat": "works"}))


if __name__ == "__main__":
    main()
