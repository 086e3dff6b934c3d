"""What the commands of all flavours are made of."""

import gzip
import json
import os
import sys
import tarfile
import time

# Two containers that start together must not both migrate. Any number will do.
MIGRATION_LOCK = 7042013


def setup():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "partsdb.settings")
    import django

    django.setup()


def say(text):
    print(text, flush=True)


def manage(*arguments):
    """Any of Django's own commands."""
    from django.core.management import call_command, execute_from_command_line

    if arguments and arguments[0].startswith("-") or not arguments:
        execute_from_command_line(["manage.py", *arguments])
    else:
        call_command(*arguments)


def wait_for_database(seconds=60):
    """Until it answers. A database that answers and is too old is an error at once."""
    from django.db import connection
    from django.db.utils import OperationalError

    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.ensure_connection()
            return
        except OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"error: database connection failed: {error}")
            say("Waiting for database connection...")
            time.sleep(1)


def migrate():
    from django.core.management import call_command
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            call_command("migrate", interactive=False, verbosity=1)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def collect_static():
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)


def backup(prefix):
    """Database as SQL, media as tar, named as django-dbbackup names them.

    The image has no pg_dump, and Django's own dump fails as long as migrations are
    pending, which is when a backup is wanted. So: the rows of every table, for psql to
    load into a database whose tables exist and are empty.
    """
    import django
    from django.conf import settings

    folder = settings.FLAVOUR.BACKUP
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    database = folder / f"{prefix}-db-{stamp}.psql.gz"
    with gzip.open(database, "wb") as out:
        write_rows(out)
    (folder / f"{database.name}.metadata").write_text(
        json.dumps(
            {
                "engine": settings.DATABASES["default"]["ENGINE"],
                "connector": "partsdb.tasks.backup",
                "version": settings.APP_VERSION,
                "django": django.get_version(),
            }
        )
    )
    media = folder / f"{prefix}-media-{stamp}.tar.gz"
    with tarfile.open(media, "w:gz") as out:
        out.add(settings.MEDIA_ROOT, arcname=".")
    return database, media


def write_rows(out):
    from django.db import connection, transaction

    quote = connection.ops.quote_name
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        out.write(b"SET session_replication_role = replica;\n")
        for table in sorted(connection.introspection.table_names(cursor)):
            columns = [quote(c.name) for c in connection.introspection.get_table_description(cursor, table)]
            target = f"{quote(table)} ({', '.join(columns)})"
            out.write(f"COPY {target} FROM stdin;\n".encode())
            with cursor.copy(f"COPY {target} TO STDOUT") as rows:
                for block in rows:
                    out.write(block)
            out.write(b"\\.\n")
        for name, last in sequences(cursor):
            out.write(f"SELECT setval('{name}', {last});\n".encode())


def sequences(cursor):
    cursor.execute(
        "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences WHERE last_value IS NOT NULL"
    )
    return cursor.fetchall()
