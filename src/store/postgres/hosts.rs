//! The hosts of a database, and which of them is used.
//!
//! # What it is
//! A URL may name several hosts: a primary and its standbys, whose roles change in a failover. New connections go to the
//! host that took writes last. Where it does not any more, the others are tried in turn.
//!
//! # Invariants
//! Whoever keeps a connection compares its host with the current one before each use. A connection to a former primary
//! would read old data.

use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;

/// The place of a host in the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostNo(usize);

pub(super) struct Hosts {
    first: PgConnectOptions,
    others: Vec<PgConnectOptions>,
    current: AtomicUsize,
}

// The driver's options show the password.
impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosts").finish_non_exhaustive()
    }
}

impl Hosts {
    /// `None` without a host.
    pub fn new(options: Vec<PgConnectOptions>) -> Option<Self> {
        let mut options = options.into_iter();
        let first = options.next()?;
        Some(Self { first, others: options.collect(), current: AtomicUsize::new(0) })
    }

    pub fn are_several(&self) -> bool {
        !self.others.is_empty()
    }

    pub fn current(&self) -> HostNo {
        HostNo(self.current.load(Ordering::Relaxed))
    }

    pub fn options(&self, host: HostNo) -> &PgConnectOptions {
        host.0.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first)
    }

    pub fn all(&self) -> impl Iterator<Item = (HostNo, &PgConnectOptions)> {
        (0..).map(HostNo).zip(std::iter::once(&self.first).chain(&self.others))
    }

    /// All of them, the current one first.
    pub fn in_turn(&self) -> Vec<HostNo> {
        let mut hosts: Vec<HostNo> = self.all().map(|(host, _)| host).collect();
        hosts.rotate_left(self.current().0);
        hosts
    }

    /// The first look found this host: new connections go there.
    pub fn begin_with(&self, host: HostNo) {
        self.current.store(host.0, Ordering::Relaxed);
    }

    /// This host takes writes: new connections go there.
    pub fn settle(&self, host: HostNo) {
        if self.current.swap(host.0, Ordering::Relaxed) != host.0 {
            tracing::warn!(host = self.shown(host), "another host of the database takes writes now");
        }
    }

    pub fn shown(&self, host: HostNo) -> String {
        let options = self.options(host);
        let socket = options.get_socket().map(|socket| socket.display().to_string());
        format!("{}:{}", socket.unwrap_or_else(|| options.get_host().to_owned()), options.get_port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_host_comes_first() {
        let options = |host: &str| PgConnectOptions::new_without_pgpass().host(host).port(5);
        let hosts = Hosts::new(vec![options("a"), options("b"), options("c")]).unwrap();
        let names =
            |hosts: &Hosts| hosts.in_turn().into_iter().map(|host| hosts.shown(host)).collect::<Vec<_>>();
        assert_eq!(names(&hosts), ["a:5", "b:5", "c:5"]);
        let third = hosts.in_turn()[2];
        hosts.settle(third);
        assert_eq!(
            (hosts.current(), names(&hosts)),
            (third, ["c:5", "a:5", "b:5"].map(str::to_owned).to_vec())
        );
        assert!(hosts.are_several() && Hosts::new(Vec::new()).is_none());
    }
}
