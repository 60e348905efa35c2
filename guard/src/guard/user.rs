//! The user of a token, as the service stores it.

use std::error::Error;

use poem::Request;

use crate::token::Claims;

/// A user of the service, loaded by the claims of a token after every check.
///
/// The service implements it for its own type and uses that type in the guard: `Jwt<Required, Account>`.
/// The store of users is added to the routes with `.data(..)` and read from the request. If the user is
/// not found, the response is 401 `unknown_user`. An error is logged, and the response is
/// 503 `unavailable`, so it never refuses an existing user.
///
/// ```
/// use std::collections::HashMap;
/// use std::error::Error;
///
/// use latchet_guard::{CurrentUser, Jwt, Required};
/// use latchet_guard::token::Claims;
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
    /// Loads the user; `None` if it does not exist (any more).
    ///
    /// # Errors
    /// Anything that prevents the lookup, such as an unreachable database.
    fn load(
        claims: &Claims,
        request: &Request,
    ) -> impl Future<Output = Result<Option<Self>, Box<dyn Error + Send + Sync>>> + Send;
}

/// No user is loaded: the default of [`Jwt`](super::Jwt).
impl CurrentUser for () {
    async fn load(_: &Claims, _: &Request) -> Result<Option<()>, Box<dyn Error + Send + Sync>> {
        Ok(Some(()))
    }
}
