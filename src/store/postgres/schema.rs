//! The schema of a cell: several of them on one PostgreSQL are ledgers that do not see each other.
//!
//! # Invariants
//! - Every connection has the schema alone in its search path. No statement names a schema.
//! - A name needs no quotes, so it is the same wherever it stands.

use sqlx::{AssertSqlSafe, PgConnection};

/// Servers tell it in their application name, of which PostgreSQL keeps 63 bytes.
const NAME_BYTES_MAX: usize = 48;

/// The checked name of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema(String);

/// What became of a schema that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Ready,
    /// The role may not use it.
    Denied,
}

impl Schema {
    /// Checks a name.
    ///
    /// # Errors
    /// What names must be.
    pub fn parse(name: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && name.bytes().all(is_plain)
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.starts_with("pg_")
            && name != "information_schema";
        if is_name {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "the schema must be 1 to {NAME_BYTES_MAX} of a-z, 0-9 and _, begin with no digit, and not with pg_"
            ))
        }
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// Lets a connection find tables in this schema only.
    pub async fn enter(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let path = "SELECT set_config('search_path', quote_ident($1), FALSE)";
        sqlx::query(path).bind(&self.0).persistent(false).execute(connection).await.map(drop)
    }

    /// Makes the schema where it is missing. Another server may do so at the same time.
    ///
    /// # Errors
    /// The driver's, also where the role may not make it.
    pub async fn make(&self, connection: &mut PgConnection) -> Result<Made, sqlx::Error> {
        if self.may_be_used(connection).await?.is_none() {
            let text = format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", self.0);
            let made = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await;
            if let Err(error) = made
                && self.may_be_used(connection).await?.is_none()
            {
                return Err(error);
            }
        }
        let usable = self.may_be_used(connection).await?;
        Ok(if usable == Some(true) { Made::Ready } else { Made::Denied })
    }

    /// `None` where there is no such schema.
    async fn may_be_used(&self, connection: &mut PgConnection) -> Result<Option<bool>, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT has_schema_privilege(n.oid, 'USAGE')
             FROM pg_namespace n
             WHERE n.nspname = $1",
        )
        .bind(&self.0)
        .fetch_optional(connection)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes() {
        for name in ["a", "cell_1", "_x", "user", "public", &"x".repeat(48)] {
            assert_eq!(Schema::parse(name).unwrap().name(), name);
        }
        let long = "x".repeat(49);
        for name in ["", "1a", "A", "a-b", "a\"b", "a b", "ü", "pg_x", "information_schema", &long] {
            assert!(Schema::parse(name).is_err(), "{name}");
        }
    }
}
