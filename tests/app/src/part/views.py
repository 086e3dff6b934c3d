"""What a test asks the application from outside."""

import django
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import JsonResponse

from .models import Part


def health(request):
    """200 when the database answers and has this version's schema; 503 says what is wrong."""
    answer = {"status": "ok", "version": settings.APP_VERSION, "django": django.get_version()}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            answer["postgresql"] = cursor.fetchone()[0].split()[0]
        require_migrations()
        Part.objects.first()
    except Exception as error:  # every reason is worth telling, none worth a traceback
        answer.update(status="error", error=str(error).strip())
        return JsonResponse(answer, status=503)
    return JsonResponse(answer)


migrated = False


def require_migrations():
    """Looked up until it is so, and remembered: it takes longer than everything else here."""
    global migrated
    if not migrated:
        executor = MigrationExecutor(connection)
        pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if pending:
            raise RuntimeError(f"{pending} migrations are pending")
        migrated = True


def ping(request):
    """Alive, whatever the database does."""
    return JsonResponse({"message": "pong", "id": settings.APP_VERSION})


def count(request):
    return JsonResponse({"count": Part.objects.count()})
