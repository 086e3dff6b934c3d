#!/usr/bin/env bash
# Checks that the postgres images keep the official image's contract.
#
#   check.sh [MAJOR...]     default: 12 13 15 16 17 18
#
# Works on official images, too. Makes containers and volumes named repot-images-*, and
# removes them. The client is always that of postgres:17, because our 12 has none.
# shellcheck disable=SC2016  # what is in single quotes is for a shell in a container
set -euo pipefail

readonly PREFIX=repot-images-$$
passed=0 failed=0

cleanup() {
	docker ps -aq --filter "name=^$PREFIX" | xargs -r docker rm -fv >/dev/null 2>&1 || :
	docker volume ls -q --filter "name=^$PREFIX" | xargs -r docker volume rm >/dev/null 2>&1 || :
	if [[ -n ${scratch-} ]]; then rm -rf "$scratch"; fi
}
trap cleanup EXIT
scratch=$(mktemp -d)

ok() {
	passed=$((passed + 1))
	printf 'ok      %s: %s\n' "$image" "$1"
}
not_ok() {
	failed=$((failed + 1))
	printf 'NOT OK  %s: %s\n' "$image" "$*"
}

# expect TEXT COMMAND...: the command's output, both streams, contains the text.
expect() {
	local text=$1 output
	shift
	output=$("$@" 2>&1) || :
	if [[ $output == *"$text"* ]]; then
		ok "$what"
	else
		not_ok "$what: expected '$text', got: ${output:0:600}"
	fi
}

# start NAME DOCKER-RUN-ARGUMENT...: a container, and waits until it answers.
start() {
	local name=$PREFIX-$1 tries
	shift
	docker run -d --name "$name" "$@" >/dev/null
	for ((tries = 0; tries < 300; tries++)); do
		# Over TCP: the temporary server of the first start has none.
		if docker exec "$name" bash -c ': </dev/tcp/127.0.0.1/5432' 2>/dev/null; then return; fi
		if [[ $(docker inspect -f '{{.State.Running}}' "$name") == false ]]; then break; fi
		sleep 0.1
	done
	docker logs --tail 20 "$name" >&2
	return 1
}

# sql NAME USER DATABASE SQL: over the loopback address inside, without a password.
sql() {
	docker run --rm --network "container:$PREFIX-$1" --entrypoint psql postgres:17 \
		-h 127.0.0.1 -U "$2" -d "$3" -XAtc "$4"
}

discard() {
	docker rm -fv "$PREFIX-$1" >/dev/null
}

check() {
	local major=$1 what data home address
	image=postgres:$major
	data=/var/lib/postgresql/data home=$data
	if ((major >= 18)); then
		data=/var/lib/postgresql/$major/docker
		home=/var/lib/postgresql
	fi

	what='metadata'
	expect "map[5432/tcp:{}] map[$home:{}] SIGINT [docker-entrypoint.sh] [postgres]" docker image inspect \
		-f '{{.Config.ExposedPorts}} {{.Config.Volumes}} {{.Config.StopSignal}} {{.Config.Entrypoint}} {{.Config.Cmd}}' "$image"
	what='environment'
	expect "$major|$data|en_US.utf8|/usr/lib/postgresql/$major/bin" docker run --rm "$image" \
		bash -c 'echo "$PG_MAJOR|$PGDATA|$LANG|${PATH##*:}"'

	mkdir -p "$scratch/init"
	echo 'echo "ran a script as $(id -un)" ; [[ -d $PGDATA ]]' >"$scratch/init/1.sh"
	if [[ $major != 12 ]]; then
		echo 'CREATE TABLE from_sql AS SELECT 1 AS one;' >"$scratch/init/2.sql"
		echo 'CREATE TABLE from_gz AS SELECT 2 AS two;' | gzip >"$scratch/init/3.sql.gz"
	else
		rm -f "$scratch"/init/*.sql "$scratch"/init/*.gz
	fi
	echo secret >"$scratch/password"
	docker volume create "$PREFIX-data" >/dev/null
	start first -e POSTGRES_PASSWORD_FILE=/run/password -e POSTGRES_USER=owner -e POSTGRES_DB=shop \
		-v "$scratch/password:/run/password:ro" -v "$scratch/init:/docker-entrypoint-initdb.d:ro" \
		-v "$PREFIX-data:$home" "$image" -c max_connections=42
	what='comes up, of its version'
	expect "$major" sql first owner shop "SELECT current_setting('server_version_num')::int / 10000"
	what='takes options after the image'
	expect 42 sql first owner shop 'SHOW max_connections'
	what='runs the initial scripts'
	expect 'ran a script as postgres' docker logs "$PREFIX-first"
	if [[ $major != 12 ]]; then
		expect '1|2' sql first owner shop 'SELECT one, two FROM from_sql, from_gz'
	fi
	what='locale'
	expect 'en_US.utf8|UTF8' sql first owner shop "SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'shop'"
	what='socket'
	expect '/var/run/postgresql/.s.PGSQL.5432' docker exec "$PREFIX-first" ls /var/run/postgresql/.s.PGSQL.5432
	what='runs as uid and gid 999'
	expect '999 700' docker exec "$PREFIX-first" stat -c '%u %a' "$data"
	expect '999 999 600' docker exec "$PREFIX-first" stat -c '%u %g %a' "$data/PG_VERSION"
	what='wants a password from elsewhere'
	address=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' "$PREFIX-first")
	expect 'no password supplied' docker run --rm --entrypoint psql postgres:17 -w -h "$address" -U owner -d shop -c 'SELECT 1'
	expect secret-is-right docker run --rm -e PGPASSWORD=secret --entrypoint psql postgres:17 -w -h "$address" -U owner -d shop -XAtc "SELECT 'secret-is-right'"
	what='password is hashed as the server does by default'
	if ((major >= 14)); then
		expect 'SCRAM-SHA-256$' sql first owner shop 'SELECT rolpassword FROM pg_authid WHERE rolname = current_user'
		expect 'host all all all scram-sha-256' docker exec "$PREFIX-first" tail -n 1 "$data/pg_hba.conf"
	else
		expect 'md5' sql first owner shop 'SELECT rolpassword FROM pg_authid WHERE rolname = current_user'
		expect 'host all all all md5' docker exec "$PREFIX-first" tail -n 1 "$data/pg_hba.conf"
	fi

	docker stop -t 30 "$PREFIX-first" >/dev/null
	what='stops cleanly'
	expect 'database system is shut down' docker logs --tail 3 "$PREFIX-first"
	if [[ $major != 12 ]]; then
		expect 'shut down' docker run --rm --volumes-from "$PREFIX-first" -e LC_ALL=C "$image" bash -c "pg_controldata -D $data | grep state"
	fi
	discard first

	start second -e POSTGRES_PASSWORD=other -e POSTGRES_USER=other -e POSTGRES_DB=other -v "$PREFIX-data:$home" "$image"
	what='an initialised directory stays as it is'
	expect 'Skipping initialization' docker logs "$PREFIX-second"
	expect 'owner' sql second owner shop 'SELECT current_user'
	discard second

	what='refuses to start without a password'
	expect 'superuser password is not specified' docker run --rm "$image"
	what='refuses a setting and its _FILE together'
	expect 'both POSTGRES_DB and POSTGRES_DB_FILE are set' docker run --rm -e POSTGRES_PASSWORD=x -e POSTGRES_DB=x -e POSTGRES_DB_FILE=/x "$image"
	what='answers questions without a database'
	expect "(PostgreSQL) $major" docker run --rm "$image" --version

	start trust -e POSTGRES_HOST_AUTH_METHOD=trust -e POSTGRES_INITDB_ARGS='--data-checksums --encoding="SQL_ASCII"' \
		-e POSTGRES_INITDB_WALDIR=/wal "$image" postgres -c shared_buffers=16MB
	what='trust, initdb arguments, WAL directory'
	address=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' "$PREFIX-trust")
	expect 'on|SQL_ASCII|16MB' docker run --rm --entrypoint psql postgres:17 -w -h "$address" -U postgres -XAtc \
		"SELECT current_setting('data_checksums'), current_setting('server_encoding'), current_setting('shared_buffers')"
	expect '/wal' docker exec "$PREFIX-trust" readlink "$data/pg_wal"
	discard trust

	start user --user 1234:1234 -e POSTGRES_PASSWORD=x --tmpfs /run/postgresql --tmpfs /tmp/pg:uid=1234 \
		--tmpfs /var/run/postgresql:uid=1234 -e PGDATA=/tmp/pg/data "$image"
	what='runs as any user'
	expect 1234 docker exec "$PREFIX-user" stat -c %u /tmp/pg/data/PG_VERSION
	discard user

	if ((major >= 18)); then
		what='refuses data in the old place'
		docker volume create "$PREFIX-old" >/dev/null
		expect 'unused mount/volume' docker run --rm -e POSTGRES_PASSWORD=x -v "$PREFIX-old:/var/lib/postgresql/data" "$image"
		start old17 -e POSTGRES_PASSWORD=x -v "$PREFIX-old:/var/lib/postgresql/data" postgres:17
		discard old17
		expect '/var/lib/postgresql/data' docker run --rm -e POSTGRES_PASSWORD=x -v "$PREFIX-old:/var/lib/postgresql/data" "$image"
		what='and as the whole of the new place'
		expect 'There is PostgreSQL data in' docker run --rm -e POSTGRES_PASSWORD=x -v "$PREFIX-old:/var/lib/postgresql" "$image"
		what='but not with a PGDATA of its own'
		start bypass -e POSTGRES_PASSWORD=x -e PGDATA=/var/lib/postgresql/data/pgdb -v "$PREFIX-old:/var/lib/postgresql/data" "$image"
		expect 18 sql bypass postgres postgres 'SHOW server_version'
		discard bypass
		docker volume rm "$PREFIX-old" >/dev/null
	else
		what='does not start on data of another version'
		if ((major != 13)); then
			docker volume create "$PREFIX-old" >/dev/null
			start old13 -e POSTGRES_PASSWORD=x -v "$PREFIX-old:/var/lib/postgresql/data" postgres:13
			discard old13
			expect 'database files are incompatible with server' docker run --rm -e POSTGRES_PASSWORD=x -v "$PREFIX-old:/var/lib/postgresql/data" "$image"
			docker volume rm "$PREFIX-old" >/dev/null
		fi
	fi
	docker volume rm "$PREFIX-data" >/dev/null
}

if (($# == 0)); then set -- 12 13 15 16 17 18; fi
for major; do check "$major"; done
printf '%s passed, %s failed\n' "$passed" "$failed"
((failed == 0))
