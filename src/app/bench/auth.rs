//! Measures what it costs that callers show a JWT: the same single holds without a token, with one that is signed by
//! ES256, and with one by RS256.
//!
//! One server has two listeners over one database. One asks nobody who calls; the other takes tokens of a provider whose
//! keys are in a file. Rounds take turns, there and back, so that an even drift of the machine's speed cancels out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::caller::{Caller, Crowd};
use super::line::{Line, Times};
use super::load::{Call, IN_FLIGHT, Load, create, incident, measure};
use super::resources::{Before, cpu_us_per_1000};
use super::rounds::Rounds;
use crate::access::jwt::{Algorithm, ClaimPath, KeySource, LedgerRule, Provider, Rules};
use crate::access::{Ledgers, Verifier};
use crate::app::connect::Reach;
use crate::app::failure::Failure;
use crate::app::server::Server;
use crate::clock;
use crate::ledger::actor::Role;

/// Each pass has a round of each kind; every other one goes backwards. It is an even number.
const PASSES: usize = 8;
/// This many rounds last as long as a line.
const ROUNDS_OF_A_LINE: u32 = 4;

/// The names of the lines.
pub(super) const WITHOUT: &str = "hold_without_token";
pub(super) const BY_ES256: &str = "hold_by_es256";
pub(super) const BY_RS256: &str = "hold_by_rs256";

const ISSUER: &str = "https://bench.example";
const AUDIENCE: &str = "creditledger-bench";
/// The year 3000, as the fixed token has it.
const EXPIRES: i64 = 32_503_680_000;

/// Signed once, with a key that was not kept: ring makes no keys for RSA. It has the claims of [`claims`].
const RS256_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzMjU2In0.eyJpc3MiOiJodHRwczovL2JlbmNoLmV4YW1wbGUiLCJh",
    "dWQiOiJjcmVkaXRsZWRnZXItYmVuY2giLCJzdWIiOiJ0aGUtaGVscGRlc2stb2YtdGhlLWJlbmNobWFyayIsImlhdCI6MTc2NDM3",
    "MDgwMCwiZXhwIjozMjUwMzY4MDAwMCwicm9sZSI6Im9wZXJhdG9yIn0.ZxPuLDb_YlUJcuc7R08sQEzr5u0LIHpLYvHUqtI1zIYA",
    "PQfec_2BVoIb24tUZ7sN8Zlfi_iWfETWhXkJisagEmypCZaFRTnX58jrlqJCEqOfG1JVjBZbd4YlqSRy-hzvO31maXaRuR6AFzoZ",
    "v_WI4QMp7OtXPOdAZX9r_DZ27WIbr7WsAJsu4gRYEAbi6LRhvJJNz9wxjAgPxyQdrtxUx7FYjHKHCnuwtOldyL0yYFxQOZCAXhtE",
    "T2u6MoL3DrSgeliLrEoPrsDQQxCP4ijHaTpjca3z4eqClCXwLF3KpHHUuERPECAUN5BRJCbR0hHBGJiixnBIKO9cs0PlEQLvow",
);
/// The modulus of that key.
const RS256_MODULUS: &str = concat!(
    "t_gjo3dXQshz8hvxONmrDnWA4s1TixNr8dgoKO34n7V_BfT789Z7W27EdoJEHlnvOfEUYxmyOWFuyl8TfPIB2Vr0wMy10xnhIm2-",
    "pTmnedSpHSMnDeQVoUW3X2wxNlFHkEKl_0pYEJGJngTcSJ8nRLSh0pMYLRhuZBksFNal-Dtl9O6jk1DPm4lKqB8yL8SWGXJD4Fnl",
    "SYsUONaPYds-qoNLIyXFiuhQ4Ip7SAIOOa-mxvWDIk7GGui7vjDQnM36muLCFQ9svGgbzMrx0XlooWZ5RsOF3CH9OHuXNxVWGDIX",
    "hIpUj37SmwEmZjfEhpbCCSKmogvpNz6wtZBhO4GqjQ",
);

/// Calls of one kind, in rounds.
struct Kind {
    name: &'static str,
    caller: Caller,
    rounds: Rounds,
    cpu: Duration,
}

/// The lines, in the order of their names above.
///
/// # Errors
/// [`Failure`] where a call fails.
pub(super) async fn measure_auth(
    server: &mut Server,
    crowd: Crowd,
    lasts: Duration,
    connections: u16,
    folder: &Path,
) -> Result<Vec<Line>, Failure> {
    let (key, es256) = es256().map_err(|what| Failure::Other(format!("no token can be made: {what}")))?;
    let rs256 = json!({"kty": "RSA", "kid": "rs256", "alg": "RS256", "n": RS256_MODULUS, "e": "AQAB"});
    let keys = written(folder, "jwks.json", &json!({ "keys": [key, rs256] }).to_string())?;
    let jwt = Verifier::new(vec![provider(keys)], Arc::new(clock::System)).map_err(Failure::Other)?;
    let guarded = server.listen_also(jwt).await?;
    let open = Caller::start(&server.url(), connections).await?;
    create(&open, crowd).await?;
    let mut kinds = vec![Kind::new(WITHOUT, open.clone())?];
    for (name, token) in [(BY_ES256, es256.as_str()), (BY_RS256, RS256_TOKEN)] {
        let reach = Reach::by_token_file(written(folder, name, token)?);
        kinds.push(Kind::new(name, Caller::connect_by(&reach, &guarded, connections, open.ledger()).await?)?);
    }
    let (lasts, mut next) = (lasts / ROUNDS_OF_A_LINE, 0);
    // The keys are read in a moment, and the first round of each warms up.
    for kind in &mut kinds {
        kind.caller.place(next, crowd.customer(next), incident(next)).await?;
        next = next.saturating_add(1);
        kind.round(crowd, lasts, &mut next).await?;
        (kind.rounds, kind.cpu) = (Rounds::none()?, Duration::ZERO);
    }
    for _ in 0..PASSES {
        for kind in &mut kinds {
            kind.round(crowd, lasts, &mut next).await?;
        }
        kinds.reverse();
    }
    let alone = kinds.first().map(|kind| kind.rounds.per_second());
    Ok(kinds.iter().map(|kind| kind.line(alone.filter(|_| kind.name != WITHOUT))).collect())
}

impl Kind {
    fn new(name: &'static str, caller: Caller) -> Result<Self, Failure> {
        Ok(Self { name, caller, rounds: Rounds::none()?, cpu: Duration::ZERO })
    }

    async fn round(&mut self, crowd: Crowd, lasts: Duration, next: &mut usize) -> Result<(), Failure> {
        let before = Before::now();
        let measured = measure(&self.caller, Load::single(Call::Hold, crowd, *next, lasts)).await?;
        self.cpu = self.cpu.saturating_add(before.used().cpu);
        self.rounds.take(&measured);
        *next = next.saturating_add(measured.calls());
        Ok(())
    }

    fn line(&self, alone: Option<u64>) -> Line {
        let per_second = self.rounds.per_second();
        let calls = usize::try_from(self.rounds.times_us.len()).unwrap_or(usize::MAX);
        Line {
            name: self.name,
            in_flight: IN_FLIGHT,
            batch: Some(1),
            per_second,
            times: Some(Times::of(&self.rounds.times_us)),
            cpu_us_per_1000: cpu_us_per_1000(self.cpu, calls),
            of_alone: alone.and_then(|alone| per_second.saturating_mul(1_000).checked_div(alone)),
            ..Line::default()
        }
    }
}

/// A provider whose tokens name their role.
fn provider(keys: PathBuf) -> Provider {
    Provider {
        name: "bench".to_owned(),
        issuer: ISSUER.to_owned(),
        audiences: BTreeSet::from([AUDIENCE.to_owned()]),
        algorithms: BTreeSet::from([Algorithm::Es256, Algorithm::Rs256]),
        keys: KeySource::File(keys),
        keys_max_age_hours: 24,
        keys_refresh_minutes: 60,
        rules: Rules {
            subject: ClaimPath::one("sub"),
            subjects: BTreeMap::new(),
            role: Some(ClaimPath::one("role")),
            roles: BTreeMap::from([(Role::Operator.name().to_owned(), Role::Operator)]),
            ledgers: LedgerRule::Fixed(Ledgers::All),
            customer: None,
        },
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "the-helpdesk-of-the-benchmark",
        "iat": 1_764_370_800,
        "exp": EXPIRES,
        "role": Role::Operator.name(),
    })
}

/// A new key, as a provider shows it, and a token that it has signed.
fn es256() -> Result<(Value, String), ring::error::Unspecified> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
    let key =
        EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).map_err(|_| ring::error::Unspecified)?;
    let (x, y) = match key.public_key().as_ref() {
        [_, point @ ..] if point.len() == 64 => point.split_at(32),
        _ => return Err(ring::error::Unspecified),
    };
    let shown = json!({
        "kty": "EC", "crv": "P-256", "kid": "es256", "alg": "ES256",
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "es256"});
    let parts = [header, claims()].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = parts.join(".");
    let signature = key.sign(&random, signed.as_bytes())?;
    Ok((shown, format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

fn written(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, text)
        .map_err(|error| Failure::Other(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_token_says_what_the_other_one_says() {
        let part = RS256_TOKEN.split('.').nth(1).unwrap();
        let said: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(said, claims());
    }
}
