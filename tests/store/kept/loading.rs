//! Kept databases as files: packed and unpacked, taken from an engine and given to one.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Equal for equal bytes: neither a name nor a time is in it.
pub fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn unpacked(file: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A SQLite database that nobody has open, its log included, as one file.
pub fn whole_file(database: &Path) -> Vec<u8> {
    let connection = Connection::open(database).unwrap();
    let is_busy: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert!(!is_busy, "somebody has the database open");
    connection.close().unwrap();
    std::fs::read(database).unwrap()
}

/// Puts a kept file into `folder` and gives its URL.
pub fn load_sqlite(kept: &Path, folder: &Path) -> String {
    let file = folder.join("kept.db");
    std::fs::write(&file, unpacked(kept)).unwrap();
    format!("sqlite://{}", file.display())
}

/// Loads a kept dump into a database of its own and gives its URL.
pub async fn load_postgres(kept: &Path) -> String {
    let url = crate::postgres::database().await;
    let dump = String::from_utf8(unpacked(kept)).unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(dump)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    url
}

/// The database as SQL, without owners, privileges, hosts and versions of programs.
pub fn dump_postgres(url: &str) -> String {
    let mut dump = Command::new(crate::postgres::program("pg_dump"));
    dump.args(["--no-owner", "--no-privileges", "--rows-per-insert=100", "--dbname", url]);
    let output = dump.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let dump = String::from_utf8(output.stdout).unwrap();
    // Later versions of the program write two commands that only their own psql knows.
    let is_kept = |line: &&str| {
        !["-- Dumped ", "\\restrict ", "\\unrestrict "].iter().any(|start| line.starts_with(start))
    };
    let lines: Vec<&str> = dump.lines().filter(is_kept).collect();
    lines.join("\n") + "\n"
}
