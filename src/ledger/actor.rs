//! Who called for a change: part of the journal, and no part of what was asked for.

use std::net::IpAddr;

use super::codec::{coded_enum, record, through};
use super::ids::OpenText;

coded_enum!(
    /// What a caller may do. Which methods a role may call is written in the protos.
    Role {
        /// A shop, which sells credits and hears of top-ups.
        Storefront = 1 / "storefront",
        /// A helpdesk, which estimates, holds and settles.
        Helpdesk = 2 / "helpdesk",
        /// A billing system, which takes credits back and reads what was earned.
        Billing = 3 / "billing",
        /// One customer, about itself.
        Customer = 4 / "customer",
        /// Reads everything, and changes nothing.
        Auditor = 5 / "auditor",
        /// Whoever runs the server; may do everything.
        Operator = 6 / "operator",
    }
);

coded_enum!(
    /// How it was shown who calls.
    Way {
        /// A token of the server's own.
        Token = 1 / "token",
        /// A JWT of a provider.
        Jwt = 2 / "jwt",
        /// The certificate of the caller's connection.
        Certificate = 3 / "certificate",
        /// The signature of a storefront's delivery.
        Delivery = 4 / "delivery",
    }
);

/// Who called for a change. It is no part of a request's fingerprint: a repeat with a renewed token is a repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The caller's name, as its way gives it: a token's name, the subject of a JWT, a name of a certificate, or a
    /// storefront. It stays when a customer's data is erased.
    pub subject: OpenText,
    pub role: Role,
    pub way: Way,
    /// The address at the other end of the connection, which may be a proxy's.
    pub peer: Option<Peer>,
    /// Whose JWT it was: the provider's name in the settings. Two providers may have the same subject. Else empty.
    pub provider: OpenText,
}
record!(Actor { 1 => subject, 2 => role, 3 => way, 4 => peer, 5 => provider });

/// The address of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);
through!(Peer as Box<str>, |peer| peer.0.to_string().into(), |text| text.parse().ok().map(Self));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Text;
    use crate::ledger::codec::{decode, encode};

    #[test]
    fn actors_are_read_as_they_were_written() {
        for peer in [None, Some("10.1.2.3"), Some("fe80::1")] {
            for (role, way) in Role::ALL.iter().zip(Way::ALL.iter().cycle()) {
                let actor = Actor {
                    subject: OpenText(Text::parse("desk é").unwrap()),
                    role: *role,
                    way: *way,
                    peer: peer.map(|address| Peer(address.parse().unwrap())),
                    provider: OpenText::default(),
                };
                assert_eq!(decode::<Actor>(&encode(&actor)).unwrap(), actor);
            }
        }
        assert!(decode::<Peer>(&encode(&Box::<str>::from("10.1.2"))).is_err());
    }
}
