//! Says who shows a token: the one way from a text to a caller.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::keys::{Keys, NoKey};
use super::known::{Digest, Known, KnownToken};
use super::provider::Provider;
use super::source::Source;
use super::token::{self, Token};
use super::{Fault, claims};
use crate::access::{Caller, Refused};
use crate::clock::Clock;
use crate::ledger::{OpenText, Text, Timestamp};

/// Verifies the tokens of some providers.
pub struct Verifier {
    providers: Vec<(Provider, Arc<Keys>)>,
    /// The place of each provider, by its issuer.
    issuers: HashMap<String, usize>,
    known: Known,
    clock: Arc<dyn Clock>,
    /// Fetches keys; ends with the verifier.
    _fetching: JoinSet<()>,
}

const NO_KEYS: &str = "its provider has no keys that serve";

/// Why a token is not taken.
enum Failure {
    Fault(Fault),
    /// It cannot be told now whether the provider has the key.
    NotNow(usize, &'static str),
    /// It is not looked at.
    Refused(Refused),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Verifier {
    /// Begins to fetch the keys of the providers, whose issuers differ. It is called within a runtime.
    ///
    /// # Errors
    /// What is wrong with a file of authorities. That a provider cannot be reached is no error.
    pub fn new(providers: Vec<Provider>, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let mut fetching = JoinSet::new();
        let mut followed = Vec::new();
        for provider in providers {
            let source = Source::of(&provider.keys)
                .map_err(|problem| format!("auth.providers.{}: {problem}", provider.name))?;
            let keys = Arc::new(Keys::of(&provider, &source));
            fetching.spawn(Arc::clone(&keys).follow(provider.clone(), source, Arc::clone(&clock)));
            followed.push((provider, keys));
        }
        let issuers = followed
            .iter()
            .enumerate()
            .map(|(place, (provider, _))| (provider.issuer.clone(), place))
            .collect();
        Ok(Self { providers: followed, issuers, known: Known::default(), clock, _fetching: fetching })
    }

    /// Who shows this token. It waits only where the token's key is not known, a few seconds at most.
    ///
    /// # Errors
    /// [`Refused::Unauthenticated`] for a token that does not hold. [`Refused::Unavailable`] where the provider's keys are
    /// too old, were never fetched, or are being fetched and may bring the token's key.
    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>, Refused> {
        self.verify_if(token, || Ok(())).await
    }

    /// The same. `may_check` is asked before anything is checked of a token that was not verified before.
    ///
    /// # Errors
    /// As [`Self::verify`], and what `may_check` refuses.
    pub async fn verify_if(
        &self,
        token: &str,
        may_check: impl FnOnce() -> Result<(), Refused> + Send,
    ) -> Result<Arc<Caller>, Refused> {
        match self.caller_of(token, may_check).await {
            Ok(caller) => Ok(caller),
            Err(Failure::Fault(Fault(reason))) => {
                tracing::debug!(reason, "a token is refused");
                Err(Refused::Unauthenticated)
            }
            Err(Failure::NotNow(provider, why)) => {
                let provider = self.providers.get(provider).map_or("", |(provider, _)| &provider.name);
                tracing::debug!(provider, why, "a token cannot be checked now");
                Err(Refused::Unavailable)
            }
            Err(Failure::Refused(refused)) => Err(refused),
        }
    }

    async fn caller_of(
        &self,
        text: &str,
        may_check: impl FnOnce() -> Result<(), Refused> + Send,
    ) -> Result<Arc<Caller>, Failure> {
        if text.len() > token::BYTES_MAX {
            return Err(Fault("is too long").into());
        }
        let digest: Digest = Sha256::digest(text).into();
        if let Some(known) = self.known.get(&digest) {
            if let Some(caller) = self.still_known(digest, known, self.clock.now())? {
                return Ok(caller);
            }
            self.known.forget(&digest);
        }
        may_check().map_err(Failure::Refused)?;
        let token = Token::parse(text)?;
        let place = self.issuers.get(claims::issuer(&token.claims)?).copied();
        let place = place.ok_or(Fault("is of an issuer that is not known"))?;
        let (provider, keys) = self.providers.get(place).ok_or(Fault("is of no provider"))?;
        if !provider.algorithms.contains(&token.algorithm) {
            return Err(Fault("has an algorithm that its provider is not allowed").into());
        }
        let found = keys.find(token.kid.as_deref(), token.algorithm, &*self.clock).await;
        let (key, generation) = found.map_err(|none| match none {
            NoKey::Unknown => Fault("has a key that its provider does not have").into(),
            NoKey::NoSet => Failure::NotNow(place, NO_KEYS),
            NoKey::Coming => Failure::NotNow(place, "its provider's keys are being fetched"),
        })?;
        if !key.has_signed(token.signed, &token.signature) {
            return Err(Fault("has a signature that does not hold").into());
        }
        let until = claims::check(&token.claims, &provider.audiences, self.clock.now())?;
        let vouches = Text::parse(&provider.name).map_err(|_| Fault("is of a provider without a name"))?;
        let caller = provider.rules.caller(&token.claims, until)?.vouched_by(OpenText(vouches));
        let caller = Arc::new(caller);
        let kid = token.kid.as_deref();
        let known = KnownToken::new(text.len(), &caller, until, place, kid, (key, generation));
        self.known.put(digest, known);
        Ok(caller)
    }

    /// The caller of a token that was verified before, unless it has expired or its key has left the set.
    fn still_known(
        &self,
        digest: Digest,
        mut known: KnownToken,
        now: Timestamp,
    ) -> Result<Option<Arc<Caller>>, Failure> {
        if known.until <= now {
            return Ok(None);
        }
        let Some((_, keys)) = self.providers.get(known.provider) else { return Ok(None) };
        let held = keys.held(now).ok_or(Failure::NotNow(known.provider, NO_KEYS))?;
        if held.generation != known.generation {
            match held.set.find(known.kid.as_deref(), known.algorithm) {
                Some(key) if *key == known.key => {}
                _ => return Ok(None),
            }
            known.generation = held.generation;
            let caller = Arc::clone(&known.caller);
            self.known.put(digest, known);
            return Ok(Some(caller));
        }
        Ok(Some(known.caller))
    }
}
