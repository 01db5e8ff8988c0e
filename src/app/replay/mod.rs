//! `creditledger replay FILE.csv`: drives a server with the incidents of a file, as they happened.

pub mod audit;
pub mod csv;
pub mod desk;
pub mod drive;
pub mod plan;
pub mod queue;
pub mod summary;
pub mod totals;
