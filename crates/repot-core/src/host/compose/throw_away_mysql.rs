//! A throw-away server of MariaDB or MySQL.

use secrecy::SecretString;

use super::beside::helper;
use super::server::random_password;
use super::throw_away::{Start, ThrowAway};
use crate::engine::mysql::clients::{Clients, Place};
use crate::engine::mysql::session::Session;
use crate::error::Result;
use crate::progress::Observer;

/// The image's own programs rather than its entrypoint: every image has them, each has another entrypoint. The user that
/// repot logs in as has a name that no set has, so that the set's accounts can be made as they were.
const START: &str = r#"
trap exit INT TERM
n=0; until [ -e /tmp/repot_held ]; do n=$((n + 1))
    if [ $n -gt 600 ]; then echo 'repot went away before the server was started' >&2; exit 1; fi; sleep 0.1; done
user=root; if id mysql >/dev/null 2>&1; then user=mysql; fi
server=$(command -v mariadbd || command -v mysqld) || { echo 'the image has no mariadbd and no mysqld' >&2; exit 1; }
home=/var/lib/repot-drill
mkdir -p $home/data $home/files && : > $home/log && : > $home/init.sql && chmod 700 $home && chown -R $user $home || exit 1
tail -n +1 -F $home/log 2>/dev/null &
if "$server" --version | grep -qi mariadb; then
    make=$(command -v mariadb-install-db || command -v mysql_install_db)
    "$make" --user=$user --datadir=$home/data --skip-test-db --auth-root-authentication-method=normal >/dev/null || exit 1
else
    "$server" --initialize-insecure --user=$user --datadir=$home/data --log-error=$home/log || { sleep 1; exit 1; }
fi
who="'repot_drill'@'%'"
{
    echo "CREATE USER $who IDENTIFIED BY '$REPOT_PASSWORD';"
    echo "GRANT ALL ON *.* TO $who WITH GRANT OPTION;"
    echo "GRANT PROXY ON ''@'' TO $who WITH GRANT OPTION;"
} > $home/init.sql
unset REPOT_PASSWORD
"$server" --user=$user --datadir=$home/data --init-file=$home/init.sql --log-error=$home/log \
    --socket=$home/socket --pid-file=$home/pid --secure-file-priv=$home/files "$@" &
wait $!
sleep 1
"#;

/// What the server runs with. Nothing of it is to survive anything, and no event is to run.
const ARGUMENTS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--port=3306",
    "--skip-name-resolve",
    "--event-scheduler=OFF",
    "--local-infile=OFF",
    "--skip-log-bin",
    "--max-allowed-packet=1G",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
    // The live server may be as lenient, which is in no dump.
    "--innodb-strict-mode=OFF",
    "--performance-schema=OFF",
    "--loose-mysqlx=OFF",
];

/// Starts a server of MariaDB or MySQL from `image`, with client programs beside it. To be called from a thread that lives
/// as long as the process.
pub fn throw_away_mysql(image: &str, run: &str, observer: &dyn Observer) -> Result<(ThrowAway, Clients)> {
    let password = random_password()?;
    let start = Start {
        image,
        script: START,
        args: ARGUMENTS.iter().map(|a| (*a).to_owned()).collect(),
        env: vec![("REPOT_PASSWORD".to_owned(), password.clone())],
        run,
        user: "0",
    };
    let (server, at) = start.start(observer)?;
    let clients = Clients {
        place: Place::Beside(helper(at)?),
        host: "127.0.0.1".to_owned(),
        port: 3306,
        user: "repot_drill".to_owned(),
        password: Some(SecretString::from(password)),
    };
    start.wait(&server, &|| Session::open(&clients, None).map(drop), observer)?;
    Ok((server, clients))
}
