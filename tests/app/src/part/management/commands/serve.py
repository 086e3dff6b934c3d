"""The web server: threads, no reloading, no access log. Stops at once when told to."""

import signal
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.conf import settings
from django.core.management.base import BaseCommand


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Command(BaseCommand):
    help = "Serve the application."
    # A server that cannot reach its database starts all the same, and says so at /health/.
    requires_system_checks = []

    def handle(self, *args, **options):
        from partsdb.wsgi import application

        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server = Server(("0.0.0.0", settings.FLAVOUR.PORT), Handler)
        server.set_app(application)
        self.stdout.write(f"{settings.APP_NAME} {settings.APP_VERSION}: listening on port {settings.FLAVOUR.PORT}")
        self.stdout.flush()
        server.serve_forever()
