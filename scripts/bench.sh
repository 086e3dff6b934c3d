#!/usr/bin/env bash
# Times every step of `repot upgrade` beside plain `pg_dump -Fc | pg_restore` of the same database, on the same
# machine, in the same run, in turn: ratios and medians, since the machine may be shared and noisy.
#
#   scripts/bench.sh [ROUNDS] [MILLION_ROWS]      3 rounds, 10 million rows (about 2 GB) when left out
#
# What it proves: the whole run with both fingerprints and the backup stays within 1.5 times the plain pipe, and
# repot's own memory does not grow with the size of the database.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-3}
million=${2:-10}
from=${FROM:-13} to=${TO:-17}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$HOME/.cache/repot/target}
cargo build --quiet --release -p repot
repot=$CARGO_TARGET_DIR/release/repot

dir=$(mktemp -d "${TMPDIR:-/tmp}/repot-bench-XXXXXX")
project=$(basename "$dir" | tr '[:upper:]' '[:lower:]')
cleanup() {
  docker rm -fv "$project-plain" >/dev/null 2>&1 || true
  (cd "$dir" && docker compose -p "$project" down -v -t 5 >/dev/null 2>&1) || true
  docker volume ls -q --filter "label=com.docker.compose.project=$project" | xargs -r docker volume rm >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap cleanup EXIT
export COMPOSE_PROJECT_NAME=$project
cat >"$dir/compose.yaml" <<COMPOSE
services:
  db:
    image: postgres:$from
    environment: { POSTGRES_PASSWORD: bench, POSTGRES_DB: bench }
    command: ["postgres", "-c", "max_wal_size=4GB"]
    volumes: ["data:/var/lib/postgresql/data"]
volumes:
  data:
COMPOSE
compose() { (cd "$dir" && docker compose "$@"); }
sql() { compose exec -T db psql -U postgres -d bench -qAt -v ON_ERROR_STOP=1 "$@"; }
seconds() { date +%s.%N; }

echo "loading $million million rows into PostgreSQL $from ..."
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
echo "database: $(sql -c "SELECT pg_size_pretty(pg_database_size('bench'))")"

plain_times=() repot_times=() peaks=()
for round in $(seq 1 "$rounds"); do
  # Plain: a fresh new server beside the old one, dump piped into restore, nothing checked, nothing kept.
  docker rm -fv "$project-plain" >/dev/null 2>&1 || true
  docker run -d --name "$project-plain" -e POSTGRES_PASSWORD=bench -e POSTGRES_DB=bench "postgres:$to" -c max_wal_size=4GB >/dev/null
  for _ in $(seq 1 120); do docker exec "$project-plain" psql -h 127.0.0.1 -U postgres -d bench -c 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.5; done
  network=$(docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}' "$(compose ps -q db)")
  docker network connect "$network" "$project-plain"
  start=$(seconds)
  docker exec -e PGPASSWORD=bench "$project-plain" bash -c 'set -o pipefail; pg_dump -Fc -h db -U postgres bench | pg_restore -h 127.0.0.1 -U postgres -d bench --exit-on-error'
  plain=$(python3 -c "print($(seconds) - $start)")
  docker rm -fv "$project-plain" >/dev/null

  start=$(seconds)
  peak=$(python3 - "$repot" "$dir" "$to" <<'PY'
import resource, subprocess, sys
repot, directory, to = sys.argv[1:]
with open(f"{directory}/report.json", "w") as out, open(f"{directory}/log", "w") as log:
    done = subprocess.Popen([repot, "upgrade", "-C", directory, "--to", to, "--yes", "--json"], stdout=out, stderr=log)
    # wait4 gives the figures of this one process; its children are the docker commands.
    _, status, usage = __import__("os").wait4(done.pid, 0)
    if status:
        sys.stderr.write(open(f"{directory}/log").read()); sys.exit(1)
print(usage.ru_maxrss // 1024)
PY
)
  whole=$(python3 -c "print($(seconds) - $start)")
  plain_times+=("$plain") repot_times+=("$whole") peaks+=("$peak")
  python3 - "$dir/report.json" "$round" "$plain" "$whole" "$peak" <<'PY'
import json, sys
path, number, plain, whole, peak = sys.argv[1:]
report, plain, whole = json.load(open(path)), float(plain), float(whole)
print(f"\nround {number}: plain pipe {plain:.1f} s, repot {whole:.1f} s, ratio {whole / plain:.2f}; repot's own peak memory {peak} MB")
for s in report["steps"]:
    if s["seconds"] >= 0.05:
        print(f"  {s['title']:<30} {s['seconds']:7.1f} s  {s['seconds'] / plain:5.2f} of the plain pipe   {s['outcome']}")
PY
  "$repot" rollback -C "$dir" --yes --discard-new-writes >/dev/null 2>&1
  "$repot" cleanup -C "$dir" --yes >/dev/null 2>&1
  rm -rf "$dir/.repot/backups"
done

python3 - "${plain_times[*]}" "${repot_times[*]}" "${peaks[*]}" <<'PY'
import statistics, sys
plain, whole, peaks = ([float(x) for x in a.split()] for a in sys.argv[1:])
ratios = [w / p for p, w in zip(plain, whole)]
median = statistics.median(ratios)
print(f"\nratio repot / plain pipe: median {median:.2f} (min {min(ratios):.2f}, max {max(ratios):.2f}); aim 1.50")
print(f"repot's own peak memory: {max(peaks):.0f} MB; aim 150")
sys.exit(0 if median <= 1.5 and max(peaks) <= 150 else 1)
PY
