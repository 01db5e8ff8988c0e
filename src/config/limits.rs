//! The tables `[limits.ROLE]` and `[limits.default]` of the file: how much callers may have done, by role.

use super::auth;
use super::tables::{Entry, Faults, Table, optional, whole};
use crate::access::{CallerLimits, RoleLimits};
use crate::ledger::actor::Role;

/// The table for roles that have none of their own, and for the keys that those of the others leave out.
const DEFAULT: &str = "default";

/// How much callers may have done, as the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    pub limits: CallerLimits,
    /// The file and the line where the first table begins.
    pub(super) place: String,
}

/// What one table says.
#[derive(Clone, Copy, Debug, Default)]
struct Given {
    commands_per_second: Option<u64>,
    bytes_per_second: Option<u64>,
    burst_seconds: Option<u64>,
    streams: Option<u64>,
    batch_commands: Option<u64>,
    may_waive: Option<bool>,
    may_override_range: Option<bool>,
}

/// Reads the tables of the file at `path`. What has a fault is left out and the fault is noted.
pub(super) fn read(entry: &Entry<'_>, path: &str, faults: &mut Faults<'_>) -> Option<LimitSettings> {
    const WANTED: &str = "a table: [limits.ROLE] or [limits.default]";
    let place = format!("{path} line {}", faults.line(entry.start));
    let entries = entry.table(faults, WANTED)?.rest();
    if entries.is_empty() {
        return entry.refuse(faults, format_args!("must be {WANTED}"));
    }
    let (mut default, mut roles) = (Given::default(), Vec::new());
    for entry in &entries {
        let role = if entry.key == DEFAULT {
            None
        } else {
            let Some(role) = auth::role_named(entry.key, entry, faults) else { continue };
            Some(role)
        };
        let Some(table) = entry.table(faults, "a table") else { continue };
        let given = read_table(table, faults);
        match role {
            None => default = given,
            Some(role) => roles.push((role, given)),
        }
    }
    let limits = CallerLimits::new(|role| {
        let own = roles.iter().find(|(of, _)| *of == role).map(|(_, given)| *given);
        own.unwrap_or_default().over(default.over_built_in(role))
    });
    Some(LimitSettings { limits, place })
}

/// A key with a fault is as one that is left out: with a fault the file is refused as a whole.
fn read_table(mut table: Table<'_>, faults: &mut Faults<'_>) -> Given {
    const RATE_MAX: u64 = 1_000_000_000;
    let mut number = |key, min, max| {
        optional(&mut table, faults, key, |entry, faults| whole(entry, faults, min, max)).flatten()
    };
    let commands_per_second = number("commands_per_second", 1, RATE_MAX);
    let bytes_per_second = number("bytes_per_second", 1_024, 1 << 40);
    let burst_seconds = number("burst_seconds", 1, 3_600);
    let streams = number("streams", 0, 1_000_000);
    let batch_commands = number("batch_commands", 1, 10_000);
    let mut switch = |key| optional(&mut table, faults, key, |entry, faults| entry.switch(faults)).flatten();
    let (may_waive, may_override_range) = (switch("may_waive"), switch("may_override_range"));
    table.end(faults);
    Given {
        commands_per_second,
        bytes_per_second,
        burst_seconds,
        streams,
        batch_commands,
        may_waive,
        may_override_range,
    }
}

impl Given {
    fn over_built_in(self, role: Role) -> RoleLimits {
        self.over(RoleLimits::of(role))
    }

    /// What it says, and `rest` where it says nothing.
    fn over(self, rest: RoleLimits) -> RoleLimits {
        let Self {
            commands_per_second,
            bytes_per_second,
            burst_seconds,
            streams,
            batch_commands,
            may_waive,
            may_override_range,
        } = self;
        RoleLimits {
            commands_per_second: commands_per_second.or(rest.commands_per_second),
            bytes_per_second: bytes_per_second.or(rest.bytes_per_second),
            burst_seconds: narrow(burst_seconds, rest.burst_seconds),
            streams: narrow(streams, rest.streams),
            batch_commands: narrow(batch_commands, rest.batch_commands),
            may_waive: may_waive.unwrap_or(rest.may_waive),
            may_override_range: may_override_range.unwrap_or(rest.may_override_range),
        }
    }
}

/// A number whose bounds fit the type.
fn narrow<T: TryFrom<u64>>(given: Option<u64>, rest: T) -> T {
    given.and_then(|number| T::try_from(number).ok()).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    /// The settings of a file, and its faults, a line each.
    fn read_all(text: &str) -> (Option<CallerLimits>, Vec<String>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut faults = Faults::of(text, &errors);
        let entry = Table::whole(table.get_ref()).take("limits").unwrap();
        let read = read(&entry, "c.toml", &mut faults);
        if let Some(read) = &read {
            assert_eq!(read.place, "c.toml line 1");
        }
        (read.map(|read| read.limits), faults.sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_role_has_its_own_then_the_default_then_what_is_built_in() {
        let text = "[limits.default]\ncommands_per_second = 7\nmay_waive = false\n\
                    [limits.helpdesk]\nbytes_per_second = 4096\nburst_seconds = 2\nstreams = 0\nbatch_commands = 5\n\
                    may_waive = true\nmay_override_range = false\n";
        let (limits, faults) = read_all(text);
        assert_eq!(faults, Vec::<String>::new());
        let expected = CallerLimits::new(|role| match role {
            Role::Helpdesk => RoleLimits {
                commands_per_second: Some(7),
                bytes_per_second: Some(4_096),
                burst_seconds: 2,
                streams: 0,
                batch_commands: 5,
                may_waive: true,
                may_override_range: false,
            },
            role => RoleLimits { commands_per_second: Some(7), may_waive: false, ..RoleLimits::of(role) },
        });
        assert_eq!(limits, Some(expected));
    }

    #[test]
    fn each_fault_is_told_with_its_key_and_line() {
        for (text, told) in [
            ("limits = 1", "line 1: limits must be a table: [limits.ROLE] or [limits.default], not integer"),
            ("[limits]", "line 1: limits must be a table: [limits.ROLE] or [limits.default]"),
            ("[limits]\nstreams = 1", "line 2: limits.streams must be a role, one of storefront, "),
            ("[limits.admin]", "line 1: limits.admin must be a role, one of storefront, "),
            ("[limits]\nhelpdesk = 1", "line 2: limits.helpdesk must be a table, not integer"),
            (
                "[limits.helpdesk]\ncommands_per_second = 0",
                "line 2: limits.helpdesk.commands_per_second must be a whole number from 1 to 1000000000, not 0",
            ),
            (
                "[limits.default]\nbytes_per_second = \"1 MiB\"",
                "line 2: limits.default.bytes_per_second must be a whole number from 1024 to ",
            ),
            (
                "[limits.default]\nburst_seconds = 3601",
                "line 2: limits.default.burst_seconds must be a whole number from 1 to 3600, not 3601",
            ),
            (
                "[limits.default]\nstreams = -1",
                "line 2: limits.default.streams must be a whole number from 0",
            ),
            (
                "[limits.customer]\nbatch_commands = 10001",
                "line 2: limits.customer.batch_commands must be a whole number from 1 to 10000, not 10001",
            ),
            ("[limits.default]\nmay_waive = 1", "line 2: limits.default.may_waive must be true or false"),
            ("[limits.default]\ngrants = 1", "line 2: limits.default.grants is not a setting"),
        ] {
            let (_, faults) = read_all(text);
            assert_eq!(faults.len(), 1, "{text}: {faults:?}");
            assert!(faults[0].starts_with(told), "{text}: {faults:?}");
        }
        let (_, faults) = read_all("[limits.admin]\nx = 1\n[limits.default]\nstreams = \"x\"\nx = 1");
        assert_eq!(faults.len(), 3, "all at once: {faults:?}");
    }
}
