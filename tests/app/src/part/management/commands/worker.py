"""Writes a row every 0.3 s, and tells of each one that the database has confirmed.

A test compares the numbers in its output with the table: a confirmed row that is not
there any more was lost. While the database is away it waits and tries again.
"""

import signal
import socket
import sys
import time

from django.core.management.base import BaseCommand
from django.db import connection
from django.db.utils import Error
from part.models import Heartbeat


class Command(BaseCommand):
    help = "Background worker: writes a heartbeat row about three times a second."

    def add_arguments(self, parser):
        parser.add_argument("--interval", type=float, default=0.3, help="seconds between rows")

    def handle(self, *args, interval, **options):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        name = socket.gethostname()
        away = False
        while True:
            try:
                row = Heartbeat.objects.create(worker=name)
                if away:
                    self.say("the database is back")
                    away = False
                self.say(f"heartbeat {row.pk}")
            except Error as error:
                connection.close()
                if not away:
                    self.say(f"no heartbeat: {str(error).strip().splitlines()[0]}")
                    away = True
            time.sleep(interval)

    def say(self, text):
        self.stdout.write(f"worker: {text}")
        self.stdout.flush()
