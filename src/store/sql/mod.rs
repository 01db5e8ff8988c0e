//! What the engines with SQL share: rows and parameters of both drivers, and each statement that both can run.
//!
//! # What it is
//! A statement stands here once, with parameters `$1`, `$2`, ..., and runs through [`database::Sql`] on a connection of
//! either driver. What an engine must say in its own words is a constant or a function of its
//! [`database::Dialect`].
//!
//! # Invariants
//! - A column that does not hold what this program writes there is `StoreError::Damaged`, never a default.
//! - Joins with a fixed order are `CROSS JOIN` with their condition under `WHERE`: SQLite keeps that order, and
//!   PostgreSQL plans it as any inner join.
//!
//! # Failure
//! An error of a driver is mapped in its engine's folder, by code and never by text.
//!
//! # Cost
//! A column is read through one dynamic call. On SQLite a parameter is found by its name, about 50 ns each.

pub mod alerts;
pub mod audit;
pub mod cards;
pub mod check;
pub mod class_stats;
pub mod copy;
pub mod customers;
pub mod database;
pub mod figures;
pub mod holds;
pub mod ledgers;
pub mod lots;
pub mod names;
pub mod postings;
pub mod reader;
pub mod row;
pub mod rows;
pub mod webhooks;
pub mod work;
