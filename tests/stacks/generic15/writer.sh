#!/bin/bash
# Writes a row about three times a second, and tells of each one that the database has
# confirmed: "writer: heartbeat ID". A confirmed row that is missing later was lost.
#
# One connection as long as it lasts: a new psql for each row would keep a core busy.
trap 'exit 0' TERM INT

rows() {
	while echo "INSERT INTO heartbeat (worker) VALUES ('$HOSTNAME') RETURNING id;"; do sleep 0.3; done
}

confirmed() {
	local id
	while read -r id; do
		if [[ -e /tmp/away ]]; then
			rm /tmp/away
			echo 'writer: the database is back'
		fi
		echo "writer: heartbeat $id"
	done
}

while :; do
	rows 2>/dev/null | psql --no-psqlrc -qAt -v ON_ERROR_STOP=1 2>/tmp/error | confirmed &
	wait $!
	if [[ ! -e /tmp/away ]]; then
		touch /tmp/away
		echo "writer: no heartbeat: $(head -n 1 /tmp/error)"
	fi
	sleep 0.5 &
	wait $!
done
