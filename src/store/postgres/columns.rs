//! SQL fragments that this engine's statements share, and the name of its dialect.

/// The columns of a posting `p` with its texts `w`; `$position` is an expression that may be NULL.
macro_rules! placed_posting_columns {
    ($position:literal) => {
        posting_columns!($position, "p.ledger_no")
    };
}

/// Joins postings `p` with their texts `w`.
macro_rules! with_words {
    () => {
        " LEFT JOIN posting_words w ON w.customer = p.customer AND w.sequence = p.sequence "
    };
}

/// A customer's postings `p` with their positions, where they have one.
macro_rules! postings_where {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            placed_posting_columns!("f.first_position + p.place"),
            " FROM posting p
              LEFT JOIN feed f ON f.batch = p.batch AND f.ledger_no = p.ledger_no",
            with_words!(),
            "WHERE ",
            $condition
        )
    };
}

/// Postings `p` with their positions, up to the one that reaches `$bytes` bytes. The lengths of large values are known
/// without reading them. `$order` is a place that rises: a column of `p`, or one that is named in `$from`.
macro_rules! postings_within {
    ($position:literal, $from:literal, $condition:literal, $order:literal, $bytes:literal) => {
        concat!(
            "SELECT ",
            placed_posting_columns!("p.fed_at"),
            " FROM (
                  SELECT p.*, w.words, w.erased_at, w.checksum AS words_checksum, ",
            $position,
            " AS fed_at, ROW_NUMBER() OVER listed AS n,
                         SUM(OCTET_LENGTH(p.detail) + COALESCE(OCTET_LENGTH(w.words), 0)) OVER (
                             listed
                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                         ) AS bytes_before
                  FROM ",
            $from,
            with_words!(),
            "WHERE ",
            $condition,
            " WINDOW listed AS (ORDER BY ",
            $order,
            ")
              ) p
              CROSS JOIN LATERAL (SELECT p.words, p.erased_at, p.words_checksum) w(words, erased_at, checksum)
              WHERE COALESCE(p.bytes_before, 0) < ",
            $bytes,
            " ORDER BY p.n"
        )
    };
}

pub(super) use {placed_posting_columns, postings_where, postings_within, with_words};

/// PostgreSQL's dialect.
#[derive(Debug)]
pub enum PostgreSql {}
