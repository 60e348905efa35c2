//! Pagination of lists.

use crate::server::error::ApiError;
use crate::server::store::SessionPlace;

/// Default number of items on a page.
pub(super) fn page_size() -> u32 {
    50
}

/// Default number of sessions of one user on a page: by the default limit of sessions, all of them.
pub(super) fn user_page_size() -> u32 {
    200
}

/// Parses the `after` parameter of a list of sessions.
pub(super) fn session_place(text: &str) -> Result<SessionPlace, ApiError> {
    text.parse()
        .map_err(|_| ApiError::invalid_field("after", "is not the `next` of a page"))
}

/// Returns the number of rows to query for a page: one more than its limit, to see whether another page
/// follows.
pub(super) fn rows(limit: u32) -> u64 {
    u64::from(limit) + 1
}

/// Splits the queried rows into the rows of the page and, if there are more, the `place` of the last row,
/// after which the next page begins.
pub(super) fn cut<T>(
    mut rows: Vec<T>,
    limit: u32,
    place: impl FnOnce(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_more).map(place);
    (rows, next)
}

/// Refuses a text with NUL, which PostgreSQL does not accept.
pub(super) fn text(field: &'static str, text: Option<String>) -> Result<Option<String>, ApiError> {
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
    fn a_page_names_the_next_only_where_there_is_one() {
        let cut_at = |count: u64, limit| cut((1..=count).collect(), limit, u64::to_string);

        assert_eq!(cut_at(rows(2), 2), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(cut_at(2, 2), (vec![1, 2], None));
        assert_eq!(cut_at(0, 2), (vec![], None));
    }
}
