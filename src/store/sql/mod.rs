//! What the engines with SQL share: rows and parameters of both drivers, and each statement that both can run.
//!
//! # What it is
//! A shared statement is written once, with parameters `$1`, `$2` and so on. It runs through [`database::Sql`] on a
//! connection of either driver. SQL that differs between engines is a constant or a function of the engine's
//! [`database::Dialect`].
//!
//! # Invariants
//! - A column with a value that this program does not write there is `StoreError::Damaged`, never a default.
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
pub mod clock;
pub mod copy;
pub mod customers;
pub mod database;
pub mod figures;
pub mod holds;
pub mod ledgers;
pub mod lots;
pub mod names;
pub mod orders;
pub mod postings;
pub mod reader;
pub mod records;
pub mod row;
pub mod rows;
pub mod side;
pub mod tokens;
pub mod webhooks;
pub mod work;
