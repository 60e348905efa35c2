//! Pagination of lists.

use crate::error::ApiError;
use crate::store::SessionCursor;

/// Default number of items on a page.
pub(super) fn default_page_size() -> u32 {
    50
}

/// Default number of sessions of one user on a page: by the default limit of sessions, all of them.
pub(super) fn default_user_page_size() -> u32 {
    200
}

/// Parses the `after` parameter of a list of sessions.
pub(super) fn parse_session_cursor(text: &str) -> Result<SessionCursor, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_field("after", "is not the `next` of a page"))
}

/// Returns the number of rows to query for a page: one more than its limit, to see whether another page
/// follows.
pub(super) fn rows_to_query(limit: u32) -> u64 {
    u64::from(limit) + 1
}

/// Splits the queried rows into the rows of the page and, if there are more, the `cursor` of the last row,
/// after which the next page begins.
pub(super) fn split_page<T>(
    mut rows: Vec<T>,
    limit: u32,
    cursor: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_more).map(cursor);
    (rows, next)
}

/// Refuses a text with NUL, which PostgreSQL does not accept.
pub(super) fn without_nul(
    field: &'static str,
    text: Option<String>,
) -> Result<Option<String>, ApiError> {
    match text {
        Some(text) if text.contains('\0') => Err(ApiError::invalid_field(
            field,
            "must not contain the character NUL",
        )),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_cursor_only_if_another_page_follows() {
        let page_of = |count: u64, limit| split_page((1..=count).collect(), limit, u64::to_string);

        assert_eq!(
            page_of(rows_to_query(2), 2),
            (vec![1, 2], Some("2".to_owned()))
        );
        assert_eq!(page_of(2, 2), (vec![1, 2], None));
        assert_eq!(page_of(0, 2), (vec![], None));
    }
}
