"""How the one application dresses up as three: where each keeps its settings and files."""

import importlib
import os


def current():
    """The flavour that this image was built as."""
    return importlib.import_module(f"partsdb.flavours.{os.environ['PARTS_FLAVOUR']}")


def postgresql(**connection):
    """A Django database entry. Values that are None are left to libpq."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "OPTIONS": {"connect_timeout": 3},
        **{key.upper(): value for key, value in connection.items() if value is not None},
    }
