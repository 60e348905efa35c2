//! The user of a request, for the log of a middleware around the guards.

use std::sync::{Arc, OnceLock};

use poem::Request;

use crate::token::Claims;

/// Slot for the user of a request, in the data of the request. Guards fill it as soon as the token is
/// verified, also if the request is refused later.
///
/// ```
/// use latchet_guard::RequestUser;
/// use poem::{Endpoint, Request, Result};
///
/// async fn log_user<E: Endpoint>(next: E, mut request: Request) -> Result<E::Output> {
///     let user = RequestUser::default();
///     request.set_data(user.clone());
///     let response = next.call(request).await;
///     println!("{}", user.id().unwrap_or("unknown"));
///     response
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestUser(Arc<OnceLock<Arc<Claims>>>);

impl RequestUser {
    /// Records the user of a request, if the request has a slot.
    pub(super) fn record(request: &Request, claims: &Arc<Claims>) {
        if let Some(Self(slot)) = request.data() {
            // A request that passes two guards has one user.
            let _known = slot.set(Arc::clone(claims));
        }
    }

    /// Returns the id of the user; `None` if no guard has verified a token.
    pub fn id(&self) -> Option<&str> {
        self.0.get().map(|claims| claims.sub.as_str())
    }
}
