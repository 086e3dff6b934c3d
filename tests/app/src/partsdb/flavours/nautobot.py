"""Nautobot: NAUTOBOT_* variables, files under NAUTOBOT_ROOT."""

import os
from pathlib import Path

from . import postgresql

PORT = 8080
ROOT = Path(os.environ.get("NAUTOBOT_ROOT", "/opt/nautobot"))
MEDIA = ROOT / "media"
STATIC = ROOT / "static"
BACKUP = ROOT / "backup"


def database():
    return postgresql(
        name=os.environ.get("NAUTOBOT_DB_NAME", "nautobot"),
        user=os.environ.get("NAUTOBOT_DB_USER"),
        password=os.environ.get("NAUTOBOT_DB_PASSWORD"),
        host=os.environ.get("NAUTOBOT_DB_HOST", "localhost"),
        port=os.environ.get("NAUTOBOT_DB_PORT"),
    )


def secret_key():
    return os.environ["NAUTOBOT_SECRET_KEY"]


def prepare():
    for folder in (MEDIA, STATIC, ROOT / "git", ROOT / "jobs"):
        folder.mkdir(parents=True, exist_ok=True)
