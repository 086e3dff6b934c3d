"""Writes a row every few milliseconds, as an application with a WAL does."""
import os
import sqlite3
import time

db = sqlite3.connect(os.environ["APP_DB"], isolation_level=None, timeout=60)
db.execute("PRAGMA journal_mode = WAL")
db.executescript("""
CREATE TABLE IF NOT EXISTS beat (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, filler BLOB);
""")
while True:
    db.execute("INSERT INTO beat (at, filler) VALUES (?, randomblob(200))", (time.time(),))
    time.sleep(0.003)
