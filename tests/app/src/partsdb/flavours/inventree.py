"""InvenTree: INVENTREE_* variables, everything of the user's in one data directory."""

import base64
import os
import secrets
import textwrap
from pathlib import Path

from . import postgresql

PORT = 8000
DATA = Path(os.environ.get("INVENTREE_DATA_DIR", "/home/inventree/data"))
MEDIA = DATA / "media"
STATIC = DATA / "static"
BACKUP = DATA / "backup"

CONFIG = """\
# InvenTree test stand-in: configuration
# A setting that the environment gives is taken from there.
debug: False
log_level: WARNING
timezone: UTC
plugins_enabled: True
"""


def database():
    engine = os.environ.get("INVENTREE_DB_ENGINE", "postgresql")
    if not engine.endswith(("postgresql", "postgres")):
        raise SystemExit(f"INVENTREE_DB_ENGINE={engine}: this application knows postgresql only")
    return postgresql(
        name=os.environ["INVENTREE_DB_NAME"],
        user=os.environ.get("INVENTREE_DB_USER"),
        password=os.environ.get("INVENTREE_DB_PASSWORD"),
        host=os.environ.get("INVENTREE_DB_HOST"),
        port=os.environ.get("INVENTREE_DB_PORT"),
    )


def secret_key():
    return (DATA / "secret_key.txt").read_text().strip()


def prepare():
    """First start: the data directory gets its folders, its configuration and its keys."""
    for folder in (DATA, MEDIA, STATIC, BACKUP, DATA / "plugins"):
        folder.mkdir(parents=True, exist_ok=True)
    _create(DATA / "config.yaml", CONFIG)
    _create(DATA / "plugins.txt", "# InvenTree plugins, one a line\n# plugin_ledger comes with the application\n")
    _create(DATA / "secret_key.txt", secrets.token_urlsafe(50))
    # Looks like a key and is none: nothing here speaks OIDC. A backup must keep it.
    body = "\n".join(textwrap.wrap(base64.b64encode(secrets.token_bytes(1190)).decode(), 64))
    _create(DATA / "oidc.pem", f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n", 0o600)


def _create(path, content, mode=0o644):
    # Server and worker start together: whoever comes second keeps what it finds.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
