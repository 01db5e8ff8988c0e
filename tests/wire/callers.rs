//! Callers for tests: a token for each, which a test can take away again, and a listener that asks for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use creditledger::access::certificates::Certificates;
use creditledger::access::{Access, Admission, Bounds, Caller, Ledgers, Quotas, Refused, Verifier, Verify};
use creditledger::grpc::{Limits, serve};
use creditledger::ledger::actor::{Role, Way};
use creditledger::ledger::ids::OpenText;
use creditledger::ledger::{CustomerId, LedgerId, Text};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::raw;
use crate::served::Served;

/// The tokens that hold now.
#[derive(Default)]
pub struct Tokens(Mutex<BTreeMap<String, Result<Arc<Caller>, Refused>>>);

#[async_trait]
impl Verify for Tokens {
    async fn verify(&self, token: &str) -> Result<Arc<Caller>, Refused> {
        self.0.lock().unwrap().get(token).cloned().unwrap_or(Err(Refused::Unauthenticated))
    }
}

impl Tokens {
    /// A new token of this role in these ledgers, all where there are none. The role customer is that of `acme`.
    pub fn issue(&self, name: &str, role: Role, ledgers: &[&str]) -> String {
        let customer = (role == Role::Customer).then(|| CustomerId::parse("acme").unwrap());
        let ledgers = match ledgers {
            [] => Ledgers::All,
            some => Ledgers::Only(some.iter().map(|ledger| LedgerId::parse(ledger).unwrap()).collect()),
        };
        let bounds = Bounds::new(role, ledgers, customer).unwrap();
        let caller = Caller::known(OpenText(Text::parse(name).unwrap()), Way::Token, bounds, None);
        self.put(&format!("clt_{name}"), Ok(Arc::new(caller)))
    }

    pub fn put(&self, token: &str, caller: Result<Arc<Caller>, Refused>) -> String {
        self.0.lock().unwrap().insert(token.to_owned(), caller);
        token.to_owned()
    }

    /// Another token of the same caller.
    pub fn again(&self, token: &str, other: &str) -> String {
        let caller = self.0.lock().unwrap()[token].clone();
        self.put(other, caller)
    }

    pub fn revoke(&self, token: &str) {
        self.0.lock().unwrap().remove(token);
    }
}

/// A second listener over a server, which asks who calls.
pub struct Guarded {
    pub channel: Channel,
    pub address: String,
    pub tokens: Arc<Tokens>,
}

impl Guarded {
    pub async fn over(served: &Served) -> Self {
        Self::with(served, None).await
    }

    /// Which takes tokens of providers too.
    pub async fn with(served: &Served, jwt: Option<Verifier>) -> Self {
        Self::limited(served, jwt, Quotas::none(), 0).await
    }

    /// With limits, also of calls a second that do not show who calls.
    pub async fn limited(
        served: &Served,
        jwt: Option<Verifier>,
        quotas: Quotas,
        unauthenticated_per_second: u32,
    ) -> Self {
        let tokens = Arc::new(Tokens::default());
        let access = Access::by(Arc::clone(&tokens) as _, jwt, Certificates::default());
        let access = access.bounded(unauthenticated_per_second);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(
            served.api.clone(),
            Admission { access, quotas, ..Admission::open() },
            listener,
            Limits::default(),
            std::future::pending(),
        ));
        let channel = Endpoint::new(address.clone()).unwrap().connect().await.unwrap();
        Self { channel, address, tokens }
    }

    /// Calls a method with a token.
    pub async fn call(&self, token: &str, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        raw::send(&self.channel, method, with_token(token, message)).await
    }
}

pub fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", header);
    request
}
