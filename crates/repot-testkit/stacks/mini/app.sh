# The application: `serve` writes a row a few times a second, `update` is what a new version does to the schema.
export PGHOST=$DB_HOST PGUSER=$DB_USER PGPASSWORD=$DB_PASSWORD PGDATABASE=$DB_NAME PGCONNECT_TIMEOUT=5
# Debian's psql is a Perl program that looks for the real one.
for dir in /usr/lib/postgresql/*/bin; do PATH=$dir:$PATH; done
sql() { psql -XqAt -v ON_ERROR_STOP=1 -c "$1"; }
case $1 in
	serve)
		trap 'exit 0' TERM
		rm -f /tmp/well
		while :; do
			if id=$(sql "INSERT INTO beat (version) VALUES ($MINI_VERSION) RETURNING id" 2>/dev/null); then
				echo "beat $id"
				touch /tmp/well
			fi
			sleep 0.6 &
			wait $!
		done
		;;
	health) test "$MINI_VERSION" != "$MINI_BROKEN" && test -e /tmp/well ;;
	update) sql "ALTER TABLE item ADD COLUMN IF NOT EXISTS lifecycle text NOT NULL DEFAULT 'active'" && echo updated ;;
esac
