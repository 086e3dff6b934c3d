# Writes a row every half second, whatever happens to the database.
trap 'exit 0' TERM INT
export PGPASSWORD=$DB_PASSWORD
while :; do
  psql -h db -U "$DB_USER" -d "$DB_NAME" -qc 'INSERT INTO visits DEFAULT VALUES' 2>/dev/null
  sleep 0.5 &
  wait $!
done
