"""nginx before the web hosts, set up as deploy/ says: where Safaricom reports."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from drill.processes import ROOT

CONF = ROOT / "deploy" / "nginx" / "sokoni.conf"
PORT = 80
_UPSTREAM = ("    server 127.0.0.1:5000 ", "    server 127.0.0.1:5001 ")
_SITE = "server {\n    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n"
_MAIN = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    include {folder}/front.conf;
}}
"""


def find_nginx() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def write_front(folder: Path, address: str, web_hosts: Sequence[str]) -> Path:
    """The file for nginx, made of the one in deploy/: its site alone, without TLS.

    ``web_hosts`` are two, as in that file, each with its port.
    """
    text = CONF.read_text()
    for line, host in zip(_UPSTREAM, web_hosts, strict=True):
        text = _replace(text, line, f"    server {host} ")
    beginning, others = text.split("\nserver {\n", maxsplit=1)
    site = _replace("server {\n" + others, _SITE, f"server {{\n    listen {address}:{PORT};\n")
    site = _replace(site[site.index(f"server {{\n    listen {address}") :], "shop.example", address)
    site = _replace(site, "/var/log/nginx/sokoni.log", f"{folder}/front-access.log")
    lines = (line for line in site.splitlines() if not line.lstrip().startswith("ssl_"))
    (folder / "front.conf").write_text(beginning + "\n" + "\n".join(lines) + "\n")
    main = folder / "nginx.conf"
    main.write_text(_MAIN.format(folder=folder))
    return main


def _replace(text: str, old: str, new: str) -> str:
    if old not in text:
        raise ValueError(f"{CONF} does not say {old!r} any more.")
    return text.replace(old, new)
