#!/bin/bash
# Writes a row about three times a second, and tells of each one that the database has
# confirmed. A confirmed row that is missing later was lost.
trap 'exit 0' TERM INT
away=no
while :; do
	if id=$(psql --no-psqlrc -XqAtc "INSERT INTO heartbeat (worker) VALUES ('$HOSTNAME') RETURNING id" 2>/tmp/error); then
		[[ $away == no ]] || echo 'writer: the database is back'
		away=no
		echo "writer: heartbeat $id"
	elif [[ $away == no ]]; then
		away=yes
		echo "writer: no heartbeat: $(head -n 1 /tmp/error)"
	fi
	sleep 0.3
done
