"""One set of settings for all flavours and both Django versions."""

import os

from partsdb import flavours

FLAVOUR = flavours.current()
APP_NAME = os.environ["PARTS_FLAVOUR"]
APP_VERSION = os.environ["PARTS_VERSION"]
# 1 or 2: the newer one has a column more, and the migration that adds it.
SCHEMA = int(os.environ["PARTS_SCHEMA"])

FLAVOUR.prepare()
SECRET_KEY = FLAVOUR.secret_key()
DATABASES = {"default": FLAVOUR.database()}

DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = False
ROOT_URLCONF = "partsdb.urls"
WSGI_APPLICATION = "partsdb.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = FLAVOUR.MEDIA
MEDIA_URL = "/media/"
STATIC_ROOT = FLAVOUR.STATIC
STATIC_URL = "/static/"
STATICFILES_DIRS = [os.path.join(os.path.dirname(__file__), "static")]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.admin",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "part",
    "plugin_ledger",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# The health check fails on purpose while the database is away; once is enough to read.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django.request": {"level": "CRITICAL"}},
}
