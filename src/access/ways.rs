//! The ways in which a caller shows who it is, behind one question.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;

use super::certificates::Certificates;
use super::jwt::Verifier;
use super::quota::{Attempts, Quotas};
use super::tokens::{PREFIX, Tokens};
use super::{Caller, Hosts, Origins, Refused};
use crate::tls::Peer;

/// Bytes of the longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Tells whose token a text is.
#[async_trait]
pub trait Verify: Send + Sync {
    /// The caller whose token this is.
    ///
    /// # Errors
    /// [`Refused`], also for a text that is no token.
    async fn verify(&self, token: &str) -> Result<Arc<Caller>, Refused>;
}

#[async_trait]
impl Verify for Tokens {
    async fn verify(&self, token: &str) -> Result<Arc<Caller>, Refused> {
        Self::verify(self, token).await
    }
}

/// What one call shows of its caller.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    pub token: Token,
    /// The other end of its connection, with the certificate that it has shown.
    pub peer: Peer,
}

/// What stands in the header `authorization`.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Token {
    /// There is no such header.
    #[default]
    Absent,
    /// `Bearer` and a token.
    Bearer(Arc<str>),
    /// Something else, or several headers.
    Broken,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Bearer(_) => "Bearer",
            Self::Broken => "Broken",
        })
    }
}

/// How a server tells who calls; cheap to clone.
#[derive(Clone)]
pub struct Access {
    /// `None` where callers are not authenticated.
    ways: Option<Arc<Ways>>,
    attempts: Attempts,
}

/// Those that are switched on.
struct Ways {
    own: Arc<dyn Verify>,
    jwt: Option<Verifier>,
    certificates: Certificates,
}

/// Whom a server lets in: those who show who they are, under these names of it, and from these pages.
#[derive(Clone)]
pub struct Admission {
    pub access: Access,
    /// How much each of them may have done.
    pub quotas: Quotas,
    pub hosts: Hosts,
    pub origins: Origins,
}

impl Admission {
    /// Whoever reaches the server on its own machine; no pages.
    pub fn open() -> Self {
        Self {
            access: Access::open(),
            quotas: Quotas::none(),
            hosts: Hosts::Usual,
            origins: Origins::default(),
        }
    }
}

static ANYBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::anybody()));

impl Access {
    /// Callers are not authenticated: each may do everything.
    pub fn open() -> Self {
        Self { ways: None, attempts: Attempts::default() }
    }

    /// Callers must show who they are: by tokens of our own, and by the other ways that are given.
    pub fn by(own: Arc<dyn Verify>, jwt: Option<Verifier>, certificates: Certificates) -> Self {
        Self { ways: Some(Arc::new(Ways { own, jwt, certificates })), attempts: Attempts::default() }
    }

    /// With so many calls a second, by address, that do not show who they are; 0 for any number.
    #[must_use]
    pub fn bounded(self, unauthenticated_per_second: u32) -> Self {
        Self { attempts: Attempts::new(unauthenticated_per_second), ..self }
    }

    /// The caller, where callers are not authenticated.
    pub fn anybody(&self) -> Option<Arc<Caller>> {
        self.ways.is_none().then(|| Arc::clone(&ANYBODY))
    }

    /// Who calls. A token decides alone: a call with a broken one is not helped by its certificate. A connection whose
    /// certificate has expired carries no call, as no new one could be made with it.
    ///
    /// # Errors
    /// [`Refused`]. [`Refused::TooMany`] where too many calls of this address were. Those that show a token of our own, a
    /// certificate, or a JWT that was verified before are let in all the same.
    pub async fn who(&self, shown: &Shown) -> Result<Arc<Caller>, Refused> {
        if shown.peer.has_expired() {
            tracing::debug!("a call is refused: the certificate of its connection has expired");
            self.attempts.failed(shown.peer.ip()).map_err(Refused::TooMany)?;
            return Err(Refused::Unauthenticated);
        }
        let Some(ways) = &self.ways else { return Ok(Arc::clone(&ANYBODY)) };
        let known = ways.who(shown, &self.attempts).await;
        if let Err(Refused::Unauthenticated) = known {
            self.attempts.failed(shown.peer.ip()).map_err(Refused::TooMany)?;
        }
        known
    }
}

impl Ways {
    async fn who(&self, shown: &Shown, attempts: &Attempts) -> Result<Arc<Caller>, Refused> {
        let token = match &shown.token {
            Token::Bearer(token) if token.len() <= TOKEN_BYTES_MAX => token,
            Token::Bearer(_) | Token::Broken => return Err(Refused::Unauthenticated),
            Token::Absent => {
                return self.certificates.caller(&shown.peer.names)?.ok_or(Refused::Unauthenticated);
            }
        };
        match &self.jwt {
            // Any other is a JWT.
            _ if token.starts_with(PREFIX) => self.own.verify(token).await,
            // Only its signature costs work.
            Some(jwt) => {
                let may_check = || attempts.may_try(shown.peer.ip()).map_err(Refused::TooMany);
                jwt.verify_if(token, may_check).await
            }
            None => Err(Refused::Unauthenticated),
        }
    }
}
