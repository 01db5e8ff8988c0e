//! One type for all commands, made from the table, and the request that carries one.

use super::super::kind::kind_table;
use super::customer_command::CustomerCommand;
use super::draft::Submission;
use super::keys::Keys;
use crate::ledger::fingerprint::{Said, fingerprint};
use crate::ledger::ids::{CustomerId, CustomerKey, LedgerNo, RequestKey};
use crate::ledger::kind::Kind;

macro_rules! define_commands {
    (
        commands { $($(#[$doc:meta])* $file:ident :: $name:ident = $code:literal / $label:literal $slots:tt)* }
        ledger { $($rest:tt)* }
    ) => {
        /// A command. Its struct says what it does; its line here, what its posting records.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Command {
            $($(#[$doc])* $name(super::$name),)*
            /// Everything due of a customer was applied. The ledger asks for it, for customers that send no commands.
            ApplyDue,
        }

        impl Command {
            /// The kind of posting that an accepted command leaves, which is also the scope of its request id.
            /// [`Command::ApplyDue`] leaves postings of other kinds and has no request id.
            pub const fn kind(&self) -> Option<Kind> {
                match self {
                    $(Self::$name(_) => Some(Kind::$name),)*
                    Self::ApplyDue => None,
                }
            }

            /// The command in its own file; `None` for [`Command::ApplyDue`].
            pub(in crate::ledger) fn inner(&self) -> Option<&dyn CustomerCommand> {
                match self {
                    $(Self::$name(command) => Some(command),)*
                    Self::ApplyDue => None,
                }
            }
        }
    };
}
kind_table!(define_commands);

impl Command {
    /// What the command reads of the stored state beyond its customer.
    pub fn keys(&self) -> Keys<'_> {
        self.inner().map(CustomerCommand::keys).unwrap_or_default()
    }
}

/// A command about one customer, with the id that makes it repeatable.
#[derive(Clone, Debug)]
pub struct Request {
    pub ledger: LedgerNo,
    pub customer: CustomerId,
    /// Same id and same content: answered from the first posting. `None` only for what the ledger asks of itself.
    pub request: Option<RequestKey>,
    pub said: Said,
    pub command: Command,
}

impl Request {
    /// What the ledger asks of itself: to apply everything due of a customer.
    pub fn apply_due(ledger: LedgerNo, customer: CustomerId) -> Self {
        Self { ledger, customer, request: None, said: Said::default(), command: Command::ApplyDue }
    }

    pub fn customer_key(&self) -> CustomerKey {
        CustomerKey::of(self.ledger, &self.customer)
    }

    /// A hash of the parsed command, for comparing two requests with the same id.
    pub fn fingerprint(&self) -> u64 {
        // A command without a request id is never compared.
        self.command.inner().map_or(1, |command| fingerprint(command, &self.said))
    }

    /// The parts of the request that its posting keeps; `command` must be its own.
    pub(in crate::ledger) fn submission<'a>(&'a self, command: &'a dyn CustomerCommand) -> Submission<'a> {
        Submission { request: self.request.as_ref(), said: &self.said, command }
    }
}
