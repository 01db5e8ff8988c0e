//! A verifier of one provider, with a clock that the test moves, and tokens that hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use creditledger::access::jwt::{Algorithm, ClaimPath, KeySource, LedgerRule, Provider, Rules, Verifier};
use creditledger::access::{Caller, Ledgers, Refused};
use creditledger::clock::Clock;
use creditledger::ledger::Timestamp;
use creditledger::ledger::actor::Role;
use serde_json::{Value, json};

use crate::clock::TestClock;
use crate::provider::{Answer, JwksServer};
use crate::signer::{Signer, jwks};

/// When the clock of a test stands still first: 2026-11-28, in seconds since 1970.
pub const START: i64 = 1_795_852_800;
pub const ISSUER: &str = "https://issuer.example/realms/a";
pub const AUDIENCE: &str = "creditledger";
/// How long a test waits for what has to come: far longer than it takes.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Rig {
    pub server: JwksServer,
    pub clock: Arc<TestClock>,
    pub verifier: Arc<Verifier>,
}

/// A provider whose keys are at `url`, and which gives roles by their names and all ledgers.
pub fn provider(url: &str) -> Provider {
    Provider {
        name: "test".to_owned(),
        issuer: ISSUER.to_owned(),
        audiences: BTreeSet::from([AUDIENCE.to_owned()]),
        algorithms: BTreeSet::from(Algorithm::ALL),
        keys: KeySource::Url { target: KeySource::target(url).unwrap(), authorities: None },
        keys_max_age_hours: 24,
        keys_refresh_minutes: 60,
        rules: rules(),
    }
}

pub fn rules() -> Rules {
    Rules {
        subject: ClaimPath::one("sub"),
        subjects: BTreeMap::new(),
        role: Some(ClaimPath::one("creditledger_role")),
        roles: Role::ALL.iter().map(|role| (role.name().to_owned(), *role)).collect(),
        ledgers: LedgerRule::Fixed(Ledgers::All),
        customer: Some(ClaimPath::one("customer")),
    }
}

/// Claims that hold at [`START`], for an hour.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "helpdesk-1", "iat": START, "exp": START + 3_600,
        "creditledger_role": "helpdesk",
    })
}

pub fn start() -> Timestamp {
    Timestamp::from_micros(START * 1_000_000)
}

impl Rig {
    /// A provider that has these keys.
    pub async fn of(signers: &[&Signer]) -> Self {
        let rig = Self::answering(Answer::Body(jwks(signers))).await;
        rig.until(&signers[0].sign(&claims()), Result::is_ok).await.unwrap();
        rig
    }

    /// A provider that answers so. Nothing waits for its first answer.
    pub async fn answering(answer: Answer) -> Self {
        let server = JwksServer::start(answer).await;
        let clock = TestClock::at(start());
        let provider = provider(&server.url());
        let verifier = verifier(provider, &clock);
        Self { server, clock, verifier }
    }

    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>, Refused> {
        self.verifier.verify(token).await
    }

    /// Verifies until the answer passes. What it waits for is on its way.
    pub async fn until(
        &self,
        token: &str,
        passes: impl Fn(&Result<Arc<Caller>, Refused>) -> bool,
    ) -> Result<Arc<Caller>, Refused> {
        until(&self.verifier, token, passes).await
    }

    /// What a caller is told who does not wait; `None` where it would have to.
    pub fn at_once(&self, token: &str) -> Option<Result<Arc<Caller>, Refused>> {
        at_once(&self.verifier, token)
    }
}

pub fn verifier(provider: Provider, clock: &Arc<TestClock>) -> Arc<Verifier> {
    Arc::new(Verifier::new(vec![provider], Arc::clone(clock) as Arc<dyn Clock>).unwrap())
}

pub async fn until(
    verifier: &Verifier,
    token: &str,
    passes: impl Fn(&Result<Arc<Caller>, Refused>) -> bool,
) -> Result<Arc<Caller>, Refused> {
    let began = Instant::now();
    loop {
        // The clock stands still, so whoever would wait for a fetch is asked again instead.
        if let Some(answer) = at_once(verifier, token)
            && passes(&answer)
        {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "the answer stays {:?}", at_once(verifier, token));
        tokio::task::yield_now().await;
    }
}

pub fn at_once(verifier: &Verifier, token: &str) -> Option<Result<Arc<Caller>, Refused>> {
    let mut verifying = std::pin::pin!(verifier.verify(token));
    match verifying.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The subject and role of a caller.
pub fn who(caller: &Caller) -> (String, Role) {
    (caller.actor(None).unwrap().subject.to_string(), caller.bounds.role())
}
