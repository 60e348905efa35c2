//! Kinds of budgets.

/// Kind of a budget. The log names it as the cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetKind {
    /// Strangers of one network, at all accounts.
    Network,
    /// Strangers of one network, at one account.
    AccountInNetwork,
    /// All strangers, at one account.
    Account,
    /// One known device of an account.
    KnownDevice,
    /// All known devices of an account.
    AllKnownDevices,
    /// One session.
    Session,
    /// One service, in one network.
    ServiceInNetwork,
    /// Registrations from one network.
    Registration,
    /// Requests for mails from one network.
    MailsFromNetwork,
    /// Requests for mails to one address.
    MailsToAddress,
}

impl BudgetKind {
    /// Returns the name of the kind in the log, and in the keys of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "ip",
            Self::AccountInNetwork => "account-ip",
            Self::Account => "account",
            Self::KnownDevice => "device",
            Self::AllKnownDevices => "devices",
            Self::Session => "session",
            Self::ServiceInNetwork => "service-ip",
            Self::Registration => "registration-ip",
            Self::MailsFromNetwork => "mail-ip",
            Self::MailsToAddress => "mail",
        }
    }

    /// Returns the setting that limits budgets of this kind.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Network => "throttle_ip",
            Self::AccountInNetwork | Self::KnownDevice | Self::Session | Self::ServiceInNetwork => {
                "throttle_account_ip"
            }
            Self::Account | Self::AllKnownDevices => "throttle_account",
            Self::Registration => "throttle_registration",
            Self::MailsFromNetwork => "throttle_mail_ip",
            Self::MailsToAddress => "throttle_mail",
        }
    }
}
