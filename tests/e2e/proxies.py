"""The proxies of deploy/, as real processes in front of a shop, each where it is installed."""

import datetime as dt
import re
import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drill.processes import ROOT, Program, free_port

HOST = "shop.example"
NGINX = ROOT / "deploy" / "nginx" / "sokoni.conf"
CADDY = ROOT / "deploy" / "caddy" / "Caddyfile"
_MAIN = """\
daemon off;
user root;
worker_processes 2;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 8192; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/sokoni.conf;
}}
"""
"""What /etc/nginx/nginx.conf says on a server, as small as it may be."""


@dataclass(frozen=True)
class Proxy:
    """``port`` speaks TLS, ``plain_port`` only sends people there."""

    program: Program
    port: int
    plain_port: int
    access_log: Path


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Signed by itself; answers its file and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "certificate.pem"))


def installed(name: str) -> str:
    """Where a program is; without it, the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def start_nginx(folder: Path, web_port: int, other_port: int | None = None) -> Proxy:
    """In front of the shop at ``web_port``, and of another where there is nobody unless told."""
    nginx = installed("nginx")
    certificate, key = make_certificate(folder)
    port, plain_port = free_port(), free_port()
    conf = NGINX.read_text()
    for old, new in (
        ("/etc/letsencrypt/live/shop.example/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/shop.example/privkey.pem", str(key)),
        ("/var/log/nginx/sokoni.log", f"{folder}/access.log"),
        ("/var/www/html", str(folder)),
        ("127.0.0.1:5000", f"127.0.0.1:{web_port}"),
        ("127.0.0.1:5001", f"127.0.0.1:{other_port or free_port()}"),
    ):
        assert old in conf
        conf = conf.replace(old, new)
    conf = re.sub(r"listen \[::\]:(80|443)[^;]*;\n\s*", "", conf)
    conf = conf.replace("listen 80", f"listen 127.0.0.1:{plain_port}")
    conf = conf.replace("listen 443", f"listen 127.0.0.1:{port}")
    (folder / "sokoni.conf").write_text(conf)
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(folder=folder))
    command = [nginx, "-p", str(folder), "-c", str(main)]
    tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    program = Program("nginx", command, folder, {"PATH": "/usr/sbin:/usr/bin:/bin"})
    return Proxy(program, port, plain_port, folder / "access.log")


def start_caddy(folder: Path, web_port: int) -> Proxy:
    caddy = installed("caddy")
    certificate, key = make_certificate(folder)
    port = free_port()
    text = CADDY.read_text()
    said = subprocess.run([caddy, "version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if version < (2, 7):  # the same under an older name
        text = re.sub(r"request_buffers \S+", "buffer_requests", text)
    text = text.replace(
        "{$SHOP_DOMAIN:shop.example} {\n",
        f"{{$SHOP_DOMAIN:shop.example}} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}\n",
        1,
    )
    text = text.replace("{\n\tservers", "{\n\tadmin off\n\tauto_https off\n\tservers", 1)
    file = folder / "Caddyfile"
    file.write_text(text)
    command = [caddy, "run", "--config", str(file), "--adapter", "caddyfile"]
    environment = {
        "HOME": str(folder),
        "PATH": "/usr/bin:/bin",
        "XDG_DATA_HOME": str(folder),
        "SHOP_DOMAIN": f"https://{HOST}:{port}",
        "SHOP_SERVERS": f"127.0.0.1:{web_port} 127.0.0.1:{free_port()}",
    }
    return Proxy(Program("caddy", command, folder, environment), port, 0, folder / "none")
