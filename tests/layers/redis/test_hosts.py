"""What the Redis layers take as arguments: hosts of every form, wrong ones, TLS."""

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from consumers.layers.redis.hosts import decode_hosts, shard_of

from ...support.redis_layers import LAYERS, Mailbox, Make
from ...support.redis_server import free_port, running_redis

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("hosts", "label"),
    [
        (None, "localhost:6379"),
        (["redis://user:secret@example:7000/1"], "example:7000"),
        (["rediss://example"], "example:6379 (TLS)"),
        (["unix:///tmp/redis.sock"], "/tmp/redis.sock"),
        ([("example", 7000)], "example:7000"),
        ([["example", 7000]], "example:7000"),
        ([("example", "7000")], "example:7000"),
        ([{"host": "example", "password": "secret"}], "example:6379"),
        ([{"address": "redis://example:1", "db": 2}], "example:1"),
        ([{"master_name": "main", "sentinels": [("a", 1)]}], "master 'main'"),
    ],
)
def test_hosts_have_many_forms(hosts: Any, label: str) -> None:
    assert [str(host) for host in decode_hosts(hosts)] == [label]


@pytest.mark.parametrize("host", [{"socket_connect_timeout": 3}, "redis://localhost?socket_connect_timeout=3"])
def test_a_host_may_be_given_more_time_to_connect(host: Any) -> None:
    [decoded] = decode_hosts([host])
    assert decoded.connect_timeout == 3


@pytest.mark.parametrize(
    ("hosts", "error"),
    [
        ("redis://localhost", "hosts must be a list"),
        (5, "hosts must be a list"),
        ({"host": "localhost"}, "hosts must be a list"),
        (("localhost", 6379), r"a pair in the list of hosts: \[\('localhost', 6379\)\]"),
        ([5], "not 5"),
        ([{"address": 5}], "'address' .* is a URL, not 5"),
        ([{"host": "localhost", "prot": 6379}], "does not take the arguments of the host localhost:6379: .*'prot'"),
        (["redis://localhost?prot=1"], "arguments of the host localhost:6379: .*'prot'"),
        ([{"master_name": "main", "sentinels": ["localhost:26379"]}], "arguments of the host master 'main'"),
        ([{}], "not dict of length 0"),
        (["http://localhost"], "scheme"),
        ([("localhost", "x")], "a number as its port, .* not tuple of length 2"),
        ([{"address": ("localhost", 1)}], "'address' of a Redis host is a URL, not tuple"),
        ([{"host": "localhost", "port": "x"}], "arguments of the host localhost:x: .*'x'"),
        ([{"master_name": "main"}], "no 'sentinels'"),
        ([{"sentinels": [("localhost", 1)]}], "no 'master_name'"),
        ([{"master_name": "main", "sentinels": "localhost"}], "arguments of the host master 'main'"),
    ],
)
def test_wrong_hosts_are_refused(hosts: Any, error: str, kind: str) -> None:
    with pytest.raises(ValueError, match=error):
        LAYERS[kind](hosts)


@pytest.mark.parametrize(
    "hosts",
    [
        "redis://:secret@localhost",
        [("localhost", 6379, "secret")],
        [b"redis://:secret@localhost"],
        ["redis://:secret/x@localhost"],
        ["http://:secret@localhost"],
    ],
)
def test_what_is_said_of_wrong_hosts_has_no_password_in_it(hosts: Any, kind: str) -> None:
    with pytest.raises(ValueError, match=r"host|URL") as refusal:
        LAYERS[kind](hosts)
    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize("arguments", [{"timeout": 0}, {"group_expiry": -1}, {"expiry": 0}, {"capacity": 0}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any], kind: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        LAYERS[kind](**arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"capacty": 5}, "^Redis(PubSub)?ChannelLayer has no argument 'capacty'"),
        ({"capacity": "5"}, "capacity must be a number, not '5'"),
        ({"timeout": None}, "timeout must be a number, not None"),
        ({"on_disconnect": 5}, "on_disconnect must be a type of message or a function, not 5"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused(arguments: dict[str, Any], error: str, kind: str) -> None:
    with pytest.raises(TypeError, match=error):
        LAYERS[kind](**arguments)


def test_names_belong_to_shards_as_channels_redis_reckons() -> None:
    assert [shard_of(name, 5) for name in ("room", "asgi__group__room", "é", "")] == [0, 3, 4, 0]
    assert {shard_of(str(number), 3) for number in range(100)} == {0, 1, 2}


@pytest.mark.parametrize("form", ["pair", "dict", "unix", "db", "protocol"])
async def test_every_form_of_host_connects(make: Make, kind: str, form: str, tmp_path: Any) -> None:
    path = tmp_path / "redis.sock"
    with running_redis(f"unixsocket {path}", "requirepass secret") as server:
        # Sentinel's and the replicas' log-ins are redis-py's own affair.
        host: Any = {
            "pair": {"host": "127.0.0.1", "port": server.port, "password": "secret"},
            "dict": {"address": server.url, "password": "secret"},
            "unix": f"unix://{path}?password=secret",
            "db": f"redis://:secret@127.0.0.1:{server.port}/3",
            "protocol": f"redis://:secret@127.0.0.1:{server.port}?protocol=3&decode_responses=True&socket_timeout=0.05",
        }[form]
        layer, mailbox = LAYERS[kind]([host]), Mailbox()
        async with layer:
            await layer.group_add("room", layer.attach(mailbox.deliver))
            await anyio.sleep(0.1)  # longer than the one's socket_timeout
            await layer.group_send("room", {"type": "test"})
            await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "sync"})
            assert await mailbox.holds(2) == [{"type": "test"}, {"type": "sync"}]


def make_certificate(folder: Path) -> None:
    """Write cert.pem, for 127.0.0.1, and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)


@pytest.mark.parametrize("form", ["url", "dict"])
async def test_tls(kind: str, form: str, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    port, certificate = free_port(), tmp_path / "cert.pem"
    options = [
        f"tls-port {port}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {tmp_path / 'key.pem'}",
        f"tls-ca-cert-file {certificate}",
        "tls-auth-clients no",
    ]
    host: Any = {
        "url": f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}",
        "dict": {"host": "127.0.0.1", "port": port, "ssl": True, "ssl_ca_certs": str(certificate)},
    }[form]
    with running_redis(*options):
        async with LAYERS[kind]([host]) as layer:
            mailbox = Mailbox()
            await layer.group_add("room", layer.attach(mailbox.deliver))
            await layer.group_send("room", {"type": "test"})
            await anyio.to_thread.run_sync(layer.group_send_sync, "room", {"type": "sync"})
            assert await mailbox.holds(2) == [{"type": "test"}, {"type": "sync"}]


def test_a_prefix_that_divides_names_wrongly_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must not have a '!'.* 'my!site'"):
        LAYERS["pubsub"](prefix="my!site")


def test_a_prefix_without_bytes_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="prefix must be text that UTF-8 has bytes for"):
        LAYERS[kind](prefix="\ud800")
    with pytest.raises(TypeError, match="prefix must be a string"):
        LAYERS[kind](prefix=b"asgi")
