#!/usr/bin/env bash
# Times `repot backup` and `repot restore` beside `pg_dump -Fc | pg_restore` and beside django-dbbackup's own backup and
# restore of the same database and media, on the same machine, in the same run, in turn: ratios and medians, since the
# machine may be shared and noisy.
#
#   scripts/bench-backup.sh [ROUNDS] [MILLION_ROWS] [FILES]      3 rounds, 10 million rows (about 2 GB), 20000 files
#
# What it proves: with compression on both sides repot is at least 3 times as fast as django-dbbackup, though it also
# takes a fingerprint, reads the set back and compares, and its memory does not grow with the size of the database.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-3}
million=${2:-10}
files=${3:-20000}
# The client programs of PATH, which django-dbbackup calls, must read this server.
version=${VERSION:-15}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/repot/target}
scripts/dbbackup-venv.sh
cargo build --quiet --release -p repot
repot=$CARGO_TARGET_DIR/release/repot
python=$HOME/.cache/repot/tools/dbbackup-venv/bin/python

dir=$(mktemp -d "${TMPDIR:-/tmp}/repot-bench-XXXXXX")
project=$(basename "$dir" | tr '[:upper:]' '[:lower:]')
cleanup() {
  (cd "$dir" && docker compose -p "$project" down -v -t 5 >/dev/null 2>&1) || true
  docker volume ls -q --filter "label=com.docker.compose.project=$project" | xargs -r docker volume rm >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
export COMPOSE_PROJECT_NAME=$project
cat >"$dir/compose.yaml" <<COMPOSE
services:
  db:
    image: postgres:$version
    environment: { POSTGRES_USER: postgres, POSTGRES_PASSWORD: bench, POSTGRES_DB: bench }
    command: ["postgres", "-c", "max_wal_size=4GB"]
    volumes: ["data:/var/lib/postgresql/data"]
  app:
    image: postgres:$version
    environment: { DB_USER: postgres, DB_PASSWORD: bench, DB_NAME: bench }
    entrypoint: ["sleep", "infinity"]
    volumes: ["./media:/media"]
    init: true
volumes:
  data:
COMPOSE
cat >"$dir/bench.toml" <<PROFILE
name = "bench"
title = "Bench"
[detect]
environment = ["DB_USER", "DB_NAME"]
[services]
database = ["db"]
application = ["app"]
[database]
user = ["DB_USER"]
password = ["DB_PASSWORD"]
name = ["DB_NAME"]
[[media.roots]]
name = "media"
service = "app"
path = "/media"
PROFILE
printf 'profile = "bench"\nprofiles = ["bench.toml"]\n' >"$dir/repot.toml"
compose() { (cd "$dir" && docker compose "$@"); }
sql() { compose exec -T db psql -U postgres -d bench -qAt -v ON_ERROR_STOP=1 "$@"; }

echo "loading $million million rows into PostgreSQL $version and $files media files ..."
python3 - "$dir/media" "$files" <<'PY'
# A third of the bytes is text, the rest does not compress, as pictures do not.
import os, random, sys
root, count = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)
for n in range(count):
    at = f"{root}/part_images/{n % 200}"
    os.makedirs(at, exist_ok=True)
    size = rng.randint(2_000, 40_000)
    with open(f"{at}/{n}.jpg", "wb") as f:
        f.write(rng.randbytes(size) if n % 3 else (b"a line of some text, number %d\n" % n) * (size // 32))
PY
compose up -d --quiet-pull >/dev/null 2>&1
for _ in $(seq 1 120); do sql -c 'SELECT 1' >/dev/null 2>&1 && break; sleep 1; done
sql <<SQL
SET synchronous_commit = off;
CREATE TABLE part (id bigint PRIMARY KEY, name text NOT NULL, category int NOT NULL, price numeric(12,4), made timestamptz NOT NULL, details jsonb);
CREATE TABLE movement (id bigint PRIMARY KEY, part bigint NOT NULL, quantity double precision, at timestamptz NOT NULL, note text);
CREATE TABLE document (id int PRIMARY KEY, title text NOT NULL, body text NOT NULL);
INSERT INTO part SELECT n, 'part ' || md5(n::text), n % 500, (n * 37 % 1000003) / 100.0, timestamptz '2020-01-01 00:00+00' + n * interval '13 s',
  jsonb_build_object('rev', n % 7, 'tags', jsonb_build_array('t' || n % 11, 'u' || n % 13)) FROM generate_series(1::bigint, $million * 400000) n;
INSERT INTO movement SELECT n, 1 + n * 7919 % ($million * 400000), n / 3.0, timestamptz '2021-01-01 00:00+00' + n * interval '7 s',
  CASE WHEN n % 4 = 0 THEN 'moved by ' || md5((n / 4)::text) END FROM generate_series(1::bigint, $million * 590000) n;
INSERT INTO document SELECT n, 'document ' || n, (SELECT string_agg(md5((n * 1000 + i)::text), ' ') FROM generate_series(1, 120) i) FROM generate_series(1::bigint, $million * 10000) n;
CREATE INDEX ON part (category, name);
CREATE INDEX ON movement (part, at);
ALTER TABLE movement ADD FOREIGN KEY (part) REFERENCES part;
-- Not in parallel: its shared memory is more than the 64 MB that Docker gives.
VACUUM (ANALYZE, PARALLEL 0);
SQL
echo "database: $(sql -c "SELECT pg_size_pretty(pg_database_size('bench'))"), media: $(du -sh "$dir/media" | cut -f1)"
host=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$(compose ps -q db)")

mkdir -p "$dir/django" "$dir/dbbackup"
cat >"$dir/django/project.py" <<SETTINGS
SECRET_KEY = 'x'
INSTALLED_APPS = ['dbbackup']
DATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'bench', 'USER': 'postgres', 'HOST': '$host', 'PASSWORD': 'bench'}}
MEDIA_ROOT = '$dir/media'
USE_TZ = True
DISK = 'django.core.files.storage.FileSystemStorage'
STORAGES = {'default': {'BACKEND': DISK}, 'dbbackup': {'BACKEND': DISK, 'OPTIONS': {'location': '$dir/dbbackup'}}}
SETTINGS

python3 - "$repot" "$dir" "$host" "$python" "$rounds" <<'PY'
import glob, json, os, shutil, statistics, subprocess, sys, time
repot, directory, host, python, rounds = sys.argv[1:5] + [int(sys.argv[5])]
env = dict(os.environ, PGPASSWORD="bench", PGHOST=host, PGUSER="postgres", DJANGO_SETTINGS_MODULE="project",
           PYTHONPATH=f"{directory}/django")
# repot is told nothing by the environment.
plain = {k: v for k, v in os.environ.items()}

def timed(command, env=env):
    """Seconds, and the peak memory in MB of that one process; its children are client programs."""
    with open(f"{directory}/log", "wb") as log:
        start = time.monotonic()
        done = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
        _, status, usage = os.wait4(done.pid, 0)
        seconds = time.monotonic() - start
    if status:
        sys.exit(open(f"{directory}/log").read()[-4000:])
    return seconds, usage.ru_maxrss // 1024

def size(path):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(path) for f in fs) / 1e6

def shell(script):
    return ["bash", "-c", "set -euo pipefail; " + script]

def django(*words):
    return [python, "-m", "django", *words]

def both(*runs):
    return sum(r[0] for r in runs), max(r[1] for r in runs)

def tidy():
    """What a restore has set aside."""
    names = subprocess.run(["psql", "-qAtd", "postgres", "-c", "SELECT datname FROM pg_database WHERE datname ~ '_repot_'"],
                           env=env, capture_output=True, text=True, check=True).stdout.split()
    for n in names:
        subprocess.run(["dropdb", n], env=env, check=True)
    for kept in glob.glob(f"{directory}/media.repot-*"):
        shutil.rmtree(kept)

ways = ["pg_dump -Fc, tar -cz", "django-dbbackup -z", "repot, zstd", "repot, gzip"]
found = {w: {"backup": [], "restore": [], "memory": [], "size": []} for w in ways}
plain_dir = f"{directory}/plain"
for number in range(1, rounds + 1):
    for way in ways:
        shutil.rmtree(plain_dir, ignore_errors=True); os.mkdir(plain_dir)
        shutil.rmtree(f"{directory}/dbbackup"); os.mkdir(f"{directory}/dbbackup")
        shutil.rmtree(f"{directory}/.repot", ignore_errors=True)
        if way.startswith("pg_dump"):
            backup = both(timed(shell(f"pg_dump -Fc -f {plain_dir}/db bench")), timed(shell(f"tar -czf {plain_dir}/media.tar.gz -C {directory}/media .")))
            stored = size(plain_dir)
            restore = both(timed(shell(f"dropdb --if-exists fresh; createdb fresh; pg_restore --exit-on-error -d fresh {plain_dir}/db; dropdb fresh")),
                           timed(shell(f"mkdir {plain_dir}/m; tar -xpzf {plain_dir}/media.tar.gz -C {plain_dir}/m; rm -rf {plain_dir}/m")))
        elif way.startswith("django"):
            backup = both(timed(django("dbbackup", "--noinput", "-z")), timed(django("mediabackup", "--noinput", "-z")))
            stored = size(f"{directory}/dbbackup")
            restore = both(timed(django("dbrestore", "--noinput", "-z")), timed(django("mediarestore", "--noinput", "-z")))
        else:
            backup = timed([repot, "backup", "-C", directory, "--compress", way.split()[1]], plain)
            stored = size(f"{directory}/.repot/backups")
            restore = timed([repot, "restore", "-C", directory, "--yes", "--only", "db", "--only", "media"], plain)
            tidy()
        f = found[way]
        f["backup"].append(backup[0]); f["restore"].append(restore[0]); f["size"].append(stored)
        f["memory"].append(max(backup[1], restore[1]))
        print(f"round {number}: {way:<22} backup {backup[0]:7.1f} s  restore {restore[0]:7.1f} s  {stored:7.0f} MB  peak memory {f['memory'][-1]} MB", flush=True)

base = found["django-dbbackup -z"]
print(f"\n{'':<22} {'backup':>16} {'restore':>16} {'size':>10} {'memory':>10}    as times faster than django-dbbackup (medians of ratios in each round)")
good = True
for way in ways:
    f = found[way]
    ratio = {k: statistics.median(b / x for b, x in zip(base[k], f[k])) for k in ("backup", "restore")}
    both_ways = statistics.median((b + r) / (x + y) for b, r, x, y in zip(base["backup"], base["restore"], f["backup"], f["restore"]))
    print(f"{way:<22} {ratio['backup']:14.2f} x {ratio['restore']:14.2f} x {statistics.median(f['size']):7.0f} MB {max(f['memory']):7.0f} MB    both {both_ways:.2f} x")
    if way == "repot, zstd":
        good = ratio["backup"] >= 3 and max(f["memory"]) < 200
print("\naim: repot at least 3 times as fast as django-dbbackup, under 200 MB:", "met" if good else "missed")
sys.exit(0 if good else 1)
PY
