//! Other servers that read from this one, or that it reads from.

use super::Finding;
use super::database::{Look, value};
use crate::engine::postgres::session::Session;
use crate::error::Result;

pub(super) fn replication(look: &Look<'_>, session: &Session) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let home = look.home();
    let slots = session.query("SELECT slot_name, slot_type, coalesce(plugin, ''), coalesce(database, ''), active, quote_literal(slot_name) FROM pg_replication_slots ORDER BY 1")?;
    for r in &slots {
        let (name, active) = (value(r, 0), value(r, 4) == "t");
        let used =
            if active { "Something reads from it right now" } else { "Nothing reads from it right now" };
        let drop = look.psql(home, &format!("SELECT pg_drop_replication_slot({})", value(r, 5)));
        found.push(if value(r, 1) == "logical" {
            Finding::blocker(
                "logical-slots",
                format!("There is a logical replication slot: {name}"),
                format!(
                    "It sends the changes of the database {} to another program (plugin {}). {used}. A slot cannot be moved to the new server, and the program would miss changes.",
                    value(r, 3),
                    value(r, 2)
                ),
                format!("Stop that program when it has read everything, then remove the slot: {drop}. Set the program up again after the upgrade."),
            )
        } else if active {
            Finding::blocker(
                "standbys",
                format!("Another server follows this one through the slot {name}"),
                format!("{used}. A standby cannot follow across major versions."),
                format!("Stop the standby and remove the slot: {drop}. Make the standby anew after the upgrade."),
            )
        } else {
            Finding::warning(
                "physical-slots",
                format!("There is a replication slot that nobody uses now: {name}"),
                "It was made for a standby or a WAL archive. It is not carried over, and until then keeps old WAL on the disk.",
                format!("If nothing needs it any more: {drop}"),
            )
        });
    }
    let followers = session.query(
        "SELECT coalesce(nullif(application_name, ''), usename), coalesce(client_addr::text, 'this machine'), state FROM pg_stat_replication \
         WHERE pid NOT IN (SELECT active_pid FROM pg_replication_slots WHERE active_pid IS NOT NULL)",
    )?;
    for r in &followers {
        found.push(Finding::blocker(
            "standbys",
            format!("{} at {} follows this server ({})", value(r, 0), value(r, 1), value(r, 2)),
            "It is a standby, a base backup or a WAL archive. None of them can go on across major versions.",
            "Let a backup finish; stop a standby or archive, and make it anew after the upgrade.",
        ));
    }
    let subscriptions = session.query(
        "SELECT s.subname, d.datname, s.subenabled, format('%I', s.subname) FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid ORDER BY 1",
    )?;
    for r in &subscriptions {
        let (name, database) = (value(r, 0), value(r, 1));
        let q = value(r, 3);
        found.push(Finding::blocker(
            "subscriptions",
            format!("The database {database} subscribes to another server: {name}"),
            "How far it has read is not part of a dump: the new server would read everything again or miss a part.",
            format!(
                "When it has caught up: {} — and make it again after the upgrade, with copy_data = false.",
                look.psql(&database, &format!("DROP SUBSCRIPTION {q}"))
            ),
        ));
    }
    Ok(found)
}
