//! Tests of what callers may have done: who has which allowance, and that nobody gets another's or a new one.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::*;
use crate::access::{Bounds, Ledgers};
use crate::ledger::Text;
use crate::ledger::actor::Way;
use crate::ledger::ids::OpenText;

fn named(subject: &str, role: Role, way: Way, provider: &str) -> Caller {
    bound(subject, role, way, provider, "acme")
}

/// A customer's is bound to it.
fn bound(subject: &str, role: Role, way: Way, provider: &str, customer: &str) -> Caller {
    let text = |text| OpenText(Text::parse(text).unwrap());
    let customer = (role == Role::Customer).then(|| crate::ledger::CustomerId::parse(customer).unwrap());
    let bounds = Bounds::new(role, Ledgers::All, customer).unwrap();
    Caller::known(text(subject), way, bounds, None).vouched_by(text(provider))
}

fn desk(subject: &str) -> Caller {
    named(subject, Role::Helpdesk, Way::Token, "")
}

/// Two commands a second, of which as many may be saved up; a stream. The time is the test's.
fn quotas() -> Quotas {
    let limits = CallerLimits::new(|role| RoleLimits {
        commands_per_second: Some(2),
        burst_seconds: 1,
        streams: 1,
        ..RoleLimits::of(role)
    });
    Quotas::timed(limits, Since::Set(AtomicU64::new(0)))
}

fn advance(quotas: &Quotas, millis: u64) {
    quotas.0.as_ref().unwrap().since.advance(Duration::from_millis(millis));
}

fn commands(allowance: &Allowance, amount: usize) -> Result<(), Duration> {
    allowance.spend(Counts::Commands, amount).map_err(|over| over.wait)
}

#[test]
fn a_caller_has_one_allowance_and_another_caller_another() {
    let quotas = quotas();
    let first = quotas.of(&desk("zammad")).unwrap();
    commands(&first, 2).unwrap();
    let again = quotas.of(&desk("zammad")).unwrap();
    assert_eq!(commands(&again, 1), Err(Duration::from_millis(500)));
    for other in [
        desk("other"),
        named("zammad", Role::Billing, Way::Token, ""),
        named("zammad", Role::Helpdesk, Way::Certificate, ""),
        named("zammad", Role::Helpdesk, Way::Jwt, "one"),
        named("zammad", Role::Helpdesk, Way::Jwt, "two"),
        // Tokens may share a name.
        bound("customer", Role::Customer, Way::Token, "", "acme"),
        bound("customer", Role::Customer, Way::Token, "", "initech"),
    ] {
        commands(&quotas.of(&other).unwrap(), 2).unwrap();
    }
    advance(&quotas, 500);
    commands(&again, 1).unwrap();
    // Nothing is counted of whoever is not known, and of nobody where there are no limits.
    assert!(quotas.of(&Caller::anybody()).is_none() && Quotas::none().of(&desk("zammad")).is_none());
}

#[tokio::test]
async fn what_waits_passes_at_the_pace() {
    let limits = CallerLimits::new(|role| RoleLimits {
        commands_per_second: Some(100),
        burst_seconds: 1,
        ..RoleLimits::of(role)
    });
    let allowance = Quotas::new(limits).of(&desk("zammad")).unwrap();
    let begun = Instant::now();
    for _ in 0..150 {
        allowance.wait(Counts::Commands, 1).await;
    }
    // A hundred were saved up.
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    // Bytes have no limit here.
    allowance.wait(Counts::Bytes, usize::MAX).await;
}

#[test]
fn a_hundred_thousand_callers_take_no_more_room_and_give_nobody_a_new_allowance() {
    let quotas = quotas();
    let table = |quotas: &Quotas| quotas.0.as_ref().unwrap().callers.len();
    let abuser = desk("abuser");
    commands(&quotas.of(&abuser).unwrap(), 2).unwrap();
    quotas.of(&abuser).unwrap().owe(Counts::Commands, 1);
    for n in 0..100_000 {
        commands(&quotas.of(&desk(&format!("made-up-{n}"))).unwrap(), 1).unwrap();
    }
    assert!(table(&quotas) <= CALLERS_MAX);
    assert!(commands(&quotas.of(&abuser).unwrap(), 1).is_err());
    // Once it has waited, it is as if it had never called.
    advance(&quotas, 2_000);
    commands(&quotas.of(&abuser).unwrap(), 2).unwrap();
}

#[test]
fn streams_have_places_that_come_back() {
    let quotas = quotas();
    let place = quotas.of(&desk("zammad")).unwrap().open_stream().unwrap();
    let over = quotas.of(&desk("zammad")).unwrap().open_stream().unwrap_err();
    assert_eq!(over, Over { limit: "streams", max: 1, wait: STREAM_WAIT });
    quotas.of(&desk("other")).unwrap().open_stream().unwrap();
    // A stream keeps its caller's allowance, however many others there are.
    for n in 0..CALLERS_MAX {
        quotas.of(&desk(&format!("made-up-{n}")));
    }
    assert!(quotas.of(&desk("zammad")).unwrap().open_stream().is_err());
    drop(place);
    assert!(quotas.of(&desk("zammad")).unwrap().open_stream().is_ok());
}

#[test]
fn an_address_fails_so_often_and_then_waits() {
    let attempts = Attempts::timed(10, Since::Set(AtomicU64::new(0)));
    let at = |text: &str| Some(text.parse().unwrap());
    for _ in 0..100 {
        attempts.may_try(at("10.0.0.1")).unwrap();
        attempts.failed(at("10.0.0.1")).unwrap();
    }
    let over = Over { limit: "unauthenticated_per_second", max: 10, wait: Duration::from_millis(100) };
    assert_eq!(attempts.may_try(at("10.0.0.1")), Err(over));
    assert_eq!(attempts.failed(at("::ffff:10.0.0.1")), Err(over), "the same address");
    attempts.failed(at("10.0.0.2")).unwrap();
    attempts.0.as_ref().unwrap().since.advance(Duration::from_millis(100));
    attempts.may_try(at("10.0.0.1")).unwrap();
    // Whoever has an address of IPv6 has a network of them.
    for n in 0..100 {
        attempts.failed(at(&format!("2001:db8:1:2::{n}"))).unwrap();
    }
    assert!(attempts.failed(at("2001:db8:1:2:ffff::1")).is_err());
    attempts.failed(at("2001:db8:1:3::1")).unwrap();
    for n in 0..100_000_u32 {
        attempts.failed(Some(IpAddr::from((n + (11 << 24)).to_be_bytes()))).unwrap();
    }
    assert!(attempts.0.as_ref().unwrap().addresses.len() <= ADDRESSES_MAX);
    let none = Attempts::new(0);
    for _ in 0..100_000 {
        none.failed(at("10.0.0.1")).and(none.may_try(None)).unwrap();
    }
}

#[test]
fn strangers_have_limits_and_systems_are_kept_from_taking_everything() {
    for role in Role::ALL {
        let limits = CallerLimits::default().of(*role);
        assert_eq!(limits.commands_per_second.is_some(), *role == Role::Customer);
        assert!(limits.streams < 1_024, "{role}");
    }
}
