//! The user behind a token, as the service knows them.

use std::error::Error;

use poem::Request;

use crate::token::Claims;

/// A user of the service, found by the claims of a token after every check.
///
/// The service implements it for its own type and names that in the guard: `Jwt<Required, Account>`.
/// What is needed to look users up is put on the routes with `.data(..)` and taken from the request.
/// A user who is not found is refused with 401 `unknown_user`; an error is 503 `unavailable`, logged
/// here, and never refuses a user who exists.
///
/// ```
/// use std::collections::HashMap;
/// use std::error::Error;
///
/// use latchet::guard::{CurrentUser, Jwt, Required};
/// use latchet::token::Claims;
/// use poem::Request;
///
/// #[derive(Clone)]
/// struct Account {
///     name: String,
/// }
///
/// type Accounts = HashMap<String, Account>;
///
/// impl CurrentUser for Account {
///     async fn load(claims: &Claims, request: &Request) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
///         let accounts = request.data::<Accounts>().ok_or("no accounts on this route")?;
///         Ok(accounts.get(&claims.sub).cloned())
///     }
/// }
///
/// async fn hello(jwt: Jwt<Required, Account>) -> String {
///     format!("hello {}", jwt.user.name)
/// }
/// ```
pub trait CurrentUser: Sized + Send + Sync + 'static {
    /// Looks the user up; `None` when there is none (any more).
    ///
    /// # Errors
    /// Anything that leaves the question open, such as a database out of reach.
    fn load(
        claims: &Claims,
        request: &Request,
    ) -> impl Future<Output = Result<Option<Self>, Box<dyn Error + Send + Sync>>> + Send;
}

/// Nobody is looked up: what [`Jwt`](super::Jwt) does when no user is named.
impl CurrentUser for () {
    async fn load(_: &Claims, _: &Request) -> Result<Option<()>, Box<dyn Error + Send + Sync>> {
        Ok(Some(()))
    }
}
