#!/usr/bin/env bash
# The main job, on real servers: an InvenTree-shaped stack goes from PostgreSQL 13 to 17, its application to a
# version that refuses 13. What is in the databases is digested by psql before and after, independently of repot.
# Then everything goes back. Nothing is left behind.
#
#   scripts/demo.sh [--size N] [--keep]
#
#   --size N   how many parts to make (default 3000)
#   --keep     stop after the upgrade, leave the stack running and say where it is
#
# Wants what scripts/setup.sh prepares; `make demo` calls that first.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=$HOME/.cargo/bin:$PATH

size=3000
keep=no
while (($#)); do
	case $1 in
		--size) size=$2 && shift ;;
		--keep) keep=yes ;;
		*) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
	esac
	shift
done

# A project name of its own, so that no stack of this machine is ever taken for the demo's.
work=$(mktemp -d "${TMPDIR:-/tmp}/repot-demo.XXXXXX")
export COMPOSE_PROJECT_NAME=repot-demo-$$
finished=no
tidy_up() {
	local status=$?
	if [[ $keep == yes && $finished == yes ]]; then return; fi
	if ((status)); then echo "demo: it failed; removing the stack" >&2; fi
	docker compose --project-directory "$work/inventree" down --volumes --remove-orphans --timeout 5 >/dev/null 2>&1 || :
	# Servers and helpers of repot's own, if it was cut off.
	docker ps -aq --filter "label=repot.project=$COMPOSE_PROJECT_NAME" | xargs -r docker rm -fv >/dev/null 2>&1 || :
	rm -rf "$work"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

heading() {
	printf '\n\033[1m== %s\033[0m\n' "$*"
}

# A command as a person would type it, then its output.
show() {
	printf '$ %s\n' "$*"
	"$@"
}

heading 'Build repot'
(cd "$root" && cargo build --release --quiet --package repot)
PATH=${CARGO_TARGET_DIR:-$root/target}/release:$PATH
repot --version

psql() {
	docker compose exec -T inventree-db psql -X -q -U pguser "$@"
}

server_version() {
	psql -d inventree -At -c 'SHOW server_version'
}

# One line a table: its name, its rows, a digest of all of them. Made by psql, not by repot.
digest() {
	psql -d "$1" -At -F ' ' <<-'SQL'
		SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 3;
		SET bytea_output = 'hex';
		SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(t::text, E''\n'' ORDER BY t::text COLLATE "C"), '''')) FROM %s AS t',
		              c.oid::regclass, c.oid::regclass)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY c.relname COLLATE "C"
		\gexec
	SQL
}

heading 'Start the old stack: PostgreSQL 13, application 1.1.12'
mkdir "$work/inventree"
cp -a "$root/tests/stacks/inventree/." "$work/inventree/"
cd "$work/inventree"
cp docker-compose.yml .env "$work/"
docker compose up --detach --wait --wait-timeout 180 --quiet-pull >/dev/null 2>&1 || {
	docker compose logs --tail 20 >&2
	exit 1
}
docker compose exec -T inventree-server invoke seed --size "$size"
psql -d postgres -c 'CREATE DATABASE inventree_real'
gunzip -c "$root/tests/data/inventree-pg13.sql.gz" | psql -v ON_ERROR_STOP=1 -d inventree_real >/dev/null
echo "server: PostgreSQL $(server_version)"
# The application goes on writing to its own database; the second one, a real InvenTree's, stays as it is.
digest inventree_real >"$work/real.before"
awk '{ rows += $2 } END { printf "database inventree_real: %d tables, %d rows\n", NR, rows }' "$work/real.before"

heading 'What happens without an upgrade: application 1.2.0 on PostgreSQL 13'
said=$(INVENTREE_TAG=1.2.0 docker compose run --rm -T --no-deps --entrypoint invoke inventree-server migrate 2>&1 || :)
grep -a 'or later is required' <<<"$said" || {
	echo 'demo: the new version should have refused PostgreSQL 13' >&2
	exit 1
}

heading 'Look first; this touches nothing'
show repot check --to 17 --app-version 1.2.0

heading 'Upgrade'
show repot upgrade --to 17 --app-version 1.2.0 --yes

heading 'Proof, with psql'
echo "server: PostgreSQL $(server_version)"
digest inventree_real >"$work/real.after"
if cmp -s "$work/real.before" "$work/real.after"; then
	echo "inventree_real: the digests of all $(wc -l <"$work/real.after") tables are what they were on 13"
else
	diff "$work/real.before" "$work/real.after" | head -20
	echo 'demo: the content differs' >&2
	exit 1
fi
docker compose exec -T inventree-server invoke version
show repot status
show repot cleanup --dry-run

if [[ $keep == yes ]]; then
	finished=yes
	trap - EXIT
	cat <<-TEXT

		The stack goes on running in $work/inventree. To go on there:
		  cd $work/inventree && export COMPOSE_PROJECT_NAME=$COMPOSE_PROJECT_NAME
		To remove it:
		  docker compose down --volumes && rm -rf $work
	TEXT
	exit 0
fi

heading 'Go back'
show repot rollback --discard-new-writes --yes
echo "server: PostgreSQL $(server_version)"
digest inventree_real >"$work/real.back"
cmp "$work/real.before" "$work/real.back"
cmp "$work/docker-compose.yml" docker-compose.yml
cmp "$work/.env" .env
echo 'The content and both files are what they were.'

heading 'Clean up'
echo "Nothing is left of it."
finished=yes
