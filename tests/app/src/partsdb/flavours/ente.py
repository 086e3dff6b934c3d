"""Ente's museum: a YAML file, of which ENTE_* variables override single values."""

import os
from pathlib import Path

from . import postgresql

PORT = 8080
MEDIA = Path("/var/lib/museum/media")
STATIC = Path("/var/lib/museum/static")
BACKUP = Path("/var/lib/museum/backup")


def configuration():
    import yaml

    path = Path(os.environ.get("ENTE_CONFIG_FILE", "/museum.yaml"))
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def database():
    db = configuration().get("db", {})

    def value(key, default=None):
        return os.environ.get(f"ENTE_DB_{key.upper()}", db.get(key, default))

    return postgresql(
        name=value("name", "ente_db"),
        user=value("user", "pguser"),
        password=value("password"),
        host=value("host", "localhost"),
        port=str(value("port", 5432)),
    )


def secret_key():
    return configuration().get("key", {}).get("encryption", "not-set")


def prepare():
    for folder in (MEDIA, STATIC):
        folder.mkdir(parents=True, exist_ok=True)


def object_store():
    """(endpoint, bucket) of the one bucket that is used by default, or None."""
    bucket = configuration().get("s3", {}).get("b2-eu-cen")
    return (f"http://{bucket['endpoint']}", bucket["bucket"]) if bucket else None
