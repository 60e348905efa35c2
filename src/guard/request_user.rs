//! The user whose token a request carried, for the log of the server around the guards.

use std::sync::{Arc, OnceLock};

use poem::Request;

use crate::token::Claims;

/// Slot for the user of a request, among the data of the request. Guards fill it as soon as the token is
/// known to be genuine, also where the request is refused in the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestUser(Arc<OnceLock<Arc<Claims>>>);

impl RequestUser {
    /// Notes whose token a request carries, where somebody wants to know.
    pub(super) fn note(request: &Request, claims: &Arc<Claims>) {
        if let Some(Self(slot)) = request.data() {
            // A request that passes two guards has one user.
            let _known = slot.set(Arc::clone(claims));
        }
    }

    /// Returns the id of the user.
    #[cfg(feature = "server")]
    pub(crate) fn id(&self) -> Option<&str> {
        self.0.get().map(|claims| claims.sub.as_str())
    }
}
