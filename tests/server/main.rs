//! The real binary as a process: settings, start and end, bad databases, crashes, the commands for people.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

#[path = "../common/authority.rs"]
#[allow(dead_code)] // shared with the tests of the wire
mod authority;
#[path = "../common/desk.rs"]
#[allow(dead_code, clippy::needless_pass_by_value)] // shared with the tests of the core
mod desk;
#[path = "../common/mail.rs"]
#[allow(dead_code)] // shared with the tests of the stores
mod mail;
#[path = "../common/pg_proxy.rs"]
mod pg_proxy;
#[path = "../common/postgres.rs"]
mod postgres;
#[path = "../common/receiver.rs"]
#[allow(dead_code)] // shared with the tests of the stores
mod receiver;

mod abuse;
mod backup;
mod backup_load;
mod bench;
mod beside_readers;
mod client_tls;
mod clock;
mod commands;
mod copy;
mod crash;
mod dashboards;
mod database;
mod deployment;
mod descriptors;
mod disk;
mod doctor;
mod email;
mod examples;
mod export;
mod large_rows;
mod life;
mod metrics;
mod metrics_rig;
mod nginx;
mod nginx_cells;
mod one_file;
mod pgbouncer;
mod planted;
mod planted_secrets;
mod postgres_cells;
mod postgres_chaos;
mod postgres_failover;
mod postgres_faults;
mod postgres_hosts;
mod postgres_kills;
mod postgres_lost;
mod postgres_rig;
mod postgres_servers;
mod postgres_starts;
mod power;
mod process;
mod read_only;
mod readmes;
mod reconcile;
mod replay;
mod sealing;
mod settings;
mod shop_kills;
mod shop_payments;
mod shop_rig;
mod shop_sender;
mod shop_servers;
mod shop_speed;
mod tls;
mod token_commands;
mod traces;
mod webhook_commands;
mod webhook_kills;
mod webhooks;
