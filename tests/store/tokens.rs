//! Tokens of the server's own: what the rows keep on each engine, and who is known by a token, also where the database
//! fails, another server revokes it, or strangers guess.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use creditledger::access::{
    AGE_MAX, Bounds, Caller, Ledgers, NewToken, Refused, TOKENS_MAX, TokenCreated, TokenText, Tokens,
};
use creditledger::ledger::actor::{Role, Way};
use creditledger::ledger::ids::OpenText;
use creditledger::ledger::{RequestKey, Text, Timestamp};
use creditledger::store::{Readable, StoreError, StoredToken, TokenBody, TokenCounts, TokenStore, TokenTx};
use uuid::Uuid;

use crate::clock::TestClock;
use crate::desk::{START, id};
use crate::rig::{Rig, on_each_engine};

const HOUR: i64 = 3_600;

fn open(text: &str) -> OpenText {
    OpenText(Text::parse(text).unwrap())
}

fn key(request: &str) -> RequestKey {
    RequestKey::parse(request).unwrap()
}

/// A row of no real token.
fn row(number: u8) -> StoredToken {
    StoredToken {
        id: Uuid::from_u128(number.into()),
        sha256: [number; 32],
        request: key(&format!("r-{number}")),
        expires_at: START.plus_days(number.into()),
        revoked_at: None,
        used_at: None,
        body: TokenBody {
            name: open("the desk"),
            role: Role::ALL[usize::from(number) % Role::ALL.len()],
            ledgers: number.is_multiple_of(2).then(|| vec![id("main"), id("other")]),
            customer: number.is_multiple_of(3).then(|| id("acme")),
            created_at: START,
            fingerprint: number.into(),
        },
    }
}

/// Four tokens: one is revoked and was used.
pub async fn fill(tokens: &dyn TokenStore) {
    let mut tx = tokens.begin(START).await.unwrap();
    tx.raise_revision().await.unwrap();
    for number in 1..=4 {
        tx.put(&row(number)).await.unwrap();
    }
    tx.put(&StoredToken { revoked_at: Some(START), ..row(4) }).await.unwrap();
    tx.used(row(4).id, START.hour()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Revokes the first of them.
pub async fn revoke_first(tokens: &dyn TokenStore) {
    let mut tx = tokens.begin(START).await.unwrap();
    tx.raise_revision().await.unwrap();
    tx.put(&StoredToken { revoked_at: Some(START), ..row(1) }).await.unwrap();
    tx.commit().await.unwrap();
}

async fn rows_are_kept_as_they_are_put(rig: Rig) {
    let tokens = &*rig.tokens;
    let before = tokens.revision().await.unwrap();
    assert_eq!(tokens.tokens(None, 10).await.unwrap(), []);
    fill(tokens).await;
    assert!(tokens.revision().await.unwrap() > before);
    let mut last = row(4);
    (last.revoked_at, last.used_at) = (Some(START), Some(START.hour()));
    let all = [row(1), row(2), row(3), last.clone()].map(Ok);
    assert_eq!(tokens.tokens(None, 10).await.unwrap(), all);
    assert_eq!(tokens.tokens(Some(row(1).id), 2).await.unwrap(), [row(2), row(3)].map(Ok));
    assert_eq!(tokens.tokens(Some(last.id), 2).await.unwrap(), []);

    let mut tx = tokens.begin(START.plus_days(2)).await.unwrap();
    assert_eq!(tx.now(), START.plus_days(2));
    assert_eq!(tx.token(row(2).id).await.unwrap(), Some(row(2)));
    assert_eq!(tx.token(Uuid::from_u128(9)).await.unwrap(), None);
    assert_eq!(tx.token_of(&key("r-3")).await.unwrap(), Some(row(3)));
    assert_eq!(tx.token_of(&key("r-9")).await.unwrap(), None);
    // Two have expired by then, and one is revoked.
    assert_eq!(tx.counts().await.unwrap(), TokenCounts { all: 4, live: 1 });
    // An earlier use changes nothing, nor does that of a token that is gone.
    tx.used(last.id, START.hour().plus_seconds(-HOUR)).await.unwrap();
    tx.used(row(9).id, START.hour()).await.unwrap();
    tx.used(row(3).id, START.hour()).await.unwrap();
    tx.delete_dead(2).await.unwrap();
    tx.commit().await.unwrap();
    let used = StoredToken { used_at: Some(START.hour()), ..row(3) };
    assert_eq!(tokens.tokens(None, 10).await.unwrap(), [used.clone(), last].map(Ok));

    // A dropped transaction stores nothing, and two tokens share neither hash nor request.
    let revision = tokens.revision().await.unwrap();
    let mut tx = tokens.begin(START.plus_days(2)).await.unwrap();
    tx.raise_revision().await.unwrap();
    tx.put(&row(7)).await.unwrap();
    tx.delete_dead(9).await.unwrap();
    drop(tx);
    let (same_hash, same_request) = ([3; 32], key("r-3"));
    for clash in
        [StoredToken { sha256: same_hash, ..row(8) }, StoredToken { request: same_request, ..row(8) }]
    {
        let mut tx = tokens.begin(START).await.unwrap();
        assert!(tx.put(&clash).await.is_err(), "{clash:?}");
        drop(tx);
    }
    assert_eq!(tokens.tokens(None, 1).await.unwrap(), [Ok(used)]);
    assert_eq!(tokens.revision().await.unwrap(), revision);
}

/// One row that says what nobody wrote takes no other caller's token.
async fn a_token_that_cannot_be_read_is_refused_alone(rig: Rig) {
    let before = Tokens::new(Arc::clone(&rig.tokens), TestClock::at(START));
    let mut both =
        [made(&before, "one", &new(Role::Operator)).await, made(&before, "two", &new(Role::Helpdesk)).await];
    both.sort_by_key(|(token, _)| token.id);
    let [(damaged, of_damaged), (good, of_good)] = both;
    // Its checksum tells that it was changed.
    let change = "UPDATE access_token SET expires_at = expires_at + 1000000 WHERE token_id IN (
        SELECT token_id FROM access_token ORDER BY token_id LIMIT 1)";
    if !rig.execute(change).await {
        return;
    }
    let page = rig.tokens.tokens(None, 10).await.unwrap();
    let ids: Vec<_> = page.iter().map(|it| it.as_ref().map(|it| it.id).map_err(|it| it.id)).collect();
    assert_eq!(ids, [Err(damaged.id), Ok(good.id)]);
    // A server that starts now.
    let tokens = Tokens::new(Arc::clone(&rig.tokens), TestClock::at(START));
    wait_for(&tokens, &of_good, true).await;
    assert_eq!(tokens.verify(of_damaged.reveal()).await.unwrap_err(), Refused::Unauthenticated);
    // Lists go on behind it.
    let listed = async |after, limit| {
        let (page, next) = tokens.page(after, limit).await.unwrap();
        (page.into_iter().map(|token| token.id).collect::<Vec<_>>(), next)
    };
    assert_eq!(listed(None, 10).await, (vec![good.id], None));
    assert_eq!(listed(None, 1).await, (vec![], Some(damaged.id)));
    assert_eq!(listed(Some(damaged.id), 1).await, (vec![good.id], Some(good.id)));
    // Others are made and revoked as ever.
    let (_, third) = made(&tokens, "three", &new(Role::Auditor)).await;
    wait_for(&tokens, &third, true).await;
    tokens.revoke(good.id).await.unwrap();
    wait_for(&tokens, &of_good, false).await;
}

fn bounds(role: Role) -> Bounds {
    let customer = (role == Role::Customer).then(|| id("acme"));
    Bounds::new(role, Ledgers::Only([id("main")].into()), customer).unwrap()
}

fn new(role: Role) -> NewToken {
    NewToken { name: open("desk 1"), bounds: bounds(role), days: 90 }
}

async fn made(tokens: &Tokens, request: &str, new: &NewToken) -> (StoredToken, TokenText) {
    match tokens.create(&key(request), new).await.unwrap() {
        TokenCreated::Made(token, text) => (*token, text),
        other => panic!("{other:?}"),
    }
}

async fn a_token_is_told_once_and_known_until_it_expires(rig: Rig) {
    let clock = TestClock::at(START);
    let tokens = Tokens::new(Arc::clone(&rig.tokens), clock.clone());
    for role in Role::ALL {
        let (token, text) = made(&tokens, role.name(), &new(*role)).await;
        let caller = tokens.verify(text.reveal()).await.unwrap();
        let expected = Caller::known(open("desk 1"), Way::Token, bounds(*role), Some(START.plus_days(90)));
        assert_eq!(*caller, expected);
        assert_eq!(token.expires_at, START.plus_days(90));
        // A repeat tells which token it was, and not the token.
        match tokens.create(&key(role.name()), &new(*role)).await.unwrap() {
            TokenCreated::Replayed(again) => assert_eq!(*again, token),
            other => panic!("{other:?}"),
        }
    }
    let other = NewToken { days: 91, ..new(Role::Helpdesk) };
    let reused = tokens.create(&key("helpdesk"), &other).await.unwrap();
    assert!(matches!(reused, TokenCreated::RequestIdReused), "{reused:?}");

    let (token, text) = made(&tokens, "expires", &new(Role::Billing)).await;
    let (_, stays) = made(&tokens, "stays", &NewToken { days: 91, ..new(Role::Billing) }).await;
    clock.set(Timestamp::from_micros(token.expires_at.micros() - 1));
    assert!(tokens.verify(text.reveal()).await.is_ok());
    clock.set(token.expires_at);
    assert_eq!(tokens.verify(text.reveal()).await.unwrap_err(), Refused::Unauthenticated);
    assert!(tokens.verify(stays.reveal()).await.is_ok());
    // What is stored tells no token: neither its text nor a part of it.
    let stored = format!("{:?}", tokens.page(None, 100).await.unwrap());
    assert!(stored.contains("desk 1") && !stored.contains(&text.reveal()[4..20]), "{stored}");
}

async fn a_token_that_is_revoked_is_refused_by_every_server_within_the_promise(rig: Rig) {
    let clock = TestClock::at(START);
    let servers = [(); 3].map(|()| Tokens::new(Arc::clone(&rig.tokens), clock.clone()));
    let (token, text) = made(&servers[0], "one", &new(Role::Operator)).await;
    let (_, kept) = made(&servers[0], "two", &new(Role::Auditor)).await;
    for server in &servers {
        wait_for(server, &text, true).await;
        wait_for(server, &kept, true).await;
    }
    let revoked = servers[1].revoke(token.id).await.unwrap().unwrap();
    let begun = Instant::now();
    assert_eq!(revoked.revoked_at, Some(START));
    assert_eq!(servers[1].verify(text.reveal()).await.unwrap_err(), Refused::Unauthenticated);
    for server in &servers {
        wait_for(server, &text, false).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for server in &servers {
        assert!(server.verify(kept.reveal()).await.is_ok());
    }
    clock.set(START.plus_days(1));
    assert_eq!(servers[2].revoke(token.id).await.unwrap(), Some(revoked), "a repeat changes nothing");
    assert_eq!(servers[2].revoke(Uuid::from_u128(1)).await.unwrap(), None);
}

/// Waits until a server accepts a token, or refuses it.
async fn wait_for(server: &Tokens, text: &TokenText, is_accepted: bool) {
    let begun = Instant::now();
    while server.verify(text.reveal()).await.is_ok() != is_accepted {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not accepted: {is_accepted}");
        tokio::task::yield_now().await;
    }
}

async fn the_last_use_is_kept_to_the_hour(rig: Rig) {
    let clock = TestClock::at(START);
    let counted = Arc::new(Counted::new(&rig));
    let tokens = Tokens::new(counted.clone(), clock.clone());
    let (token, text) = made(&tokens, "one", &new(Role::Helpdesk)).await;
    made(&tokens, "unused", &new(Role::Helpdesk)).await;
    let used_at = async || {
        let all = tokens.page(None, 10).await.unwrap();
        assert!(all.0.iter().filter(|token| token.used_at.is_some()).count() <= 1);
        all.0.iter().find(|stored| stored.id == token.id).unwrap().used_at
    };
    tokens.write_uses().await.unwrap();
    assert_eq!(used_at().await, None);
    for (seconds, expected) in [(5, 0), (HOUR - 1, 0), (HOUR, 1), (5 * HOUR + 7, 5)] {
        clock.set(START.hour().plus_seconds(seconds));
        for _ in 0..10 {
            tokens.verify(text.reveal()).await.unwrap();
        }
        let before = counted.begun.load(Ordering::SeqCst);
        tokens.write_uses().await.unwrap();
        tokens.write_uses().await.unwrap();
        assert!(counted.begun.load(Ordering::SeqCst) <= before + 1, "at most once an hour");
        assert_eq!(used_at().await, Some(START.hour().plus_seconds(expected * HOUR)));
    }
    // A server that has seen an earlier use does not put it back.
    let other = Tokens::new(Arc::clone(&rig.tokens), clock.clone());
    clock.set(START);
    other.verify(text.reveal()).await.unwrap();
    other.write_uses().await.unwrap();
    assert_eq!(used_at().await, Some(START.hour().plus_seconds(5 * HOUR)));
    // A task that is stopped writes what it knows before it ends.
    clock.set(START.plus_days(1));
    tokens.verify(text.reveal()).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let task = tokio::spawn(tokens.clone().run(stopped));
    stop.send_replace(true);
    task.await.unwrap();
    assert_eq!(used_at().await, Some(START.plus_days(1).hour()));
}

/// A store that counts what it is asked, and can fail.
struct Counted {
    store: Arc<dyn TokenStore>,
    fails: AtomicBool,
    reads: AtomicUsize,
    begun: AtomicUsize,
}

impl Counted {
    fn new(rig: &Rig) -> Self {
        let store = Arc::clone(&rig.tokens);
        Self {
            store,
            fails: AtomicBool::default(),
            reads: AtomicUsize::default(),
            begun: AtomicUsize::default(),
        }
    }

    fn checked(&self) -> Result<(), StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) { Err(StoreError::Failed("a fault".into())) } else { Ok(()) }
    }
}

#[async_trait]
impl TokenStore for Counted {
    async fn revision(&self) -> Result<u64, StoreError> {
        self.checked()?;
        self.store.revision().await
    }

    async fn tokens(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<StoredToken>>, StoreError> {
        self.checked()?;
        self.store.tokens(after, limit).await
    }

    async fn begin(&self, now: Timestamp) -> Result<Box<dyn TokenTx>, StoreError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.checked()?;
        self.store.begin(now).await
    }
}

/// It takes as long as the promise says.
#[tokio::test]
async fn while_the_database_fails_tokens_hold_for_the_promise_and_are_then_unavailable() {
    let rig = Rig::memory();
    let counted = Arc::new(Counted::new(&rig));
    let tokens = Tokens::new(counted.clone(), TestClock::at(START));
    let unknown = unknown().await;
    counted.fails.store(true, Ordering::SeqCst);
    assert_eq!(tokens.verify(unknown.reveal()).await.unwrap_err(), Refused::Unavailable, "nothing is known");
    assert_eq!(tokens.verify("clt_x").await.unwrap_err(), Refused::Unauthenticated, "that is no token");
    counted.fails.store(false, Ordering::SeqCst);
    let (_, text) = made(&tokens, "one", &new(Role::Helpdesk)).await;
    counted.fails.store(true, Ordering::SeqCst);
    let (begun, mut held) = (Instant::now(), Duration::ZERO);
    loop {
        let asked = begun.elapsed();
        match (tokens.verify(text.reveal()).await, tokens.verify(unknown.reveal()).await) {
            (Ok(_), Err(_)) => held = asked,
            // It may have been made by another server meanwhile, so nobody says that it is unknown.
            (Err(Refused::Unavailable), Err(Refused::Unavailable)) => break,
            other => panic!("{other:?} after {asked:?}"),
        }
        tokio::task::yield_now().await;
    }
    assert!(held < AGE_MAX, "it was accepted after {held:?}");
    let reads = counted.reads.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        assert_eq!(tokens.verify(text.reveal()).await.unwrap_err(), Refused::Unavailable);
    }
    // Whoever waits does not hammer a database that fails.
    let reads = counted.reads.load(Ordering::SeqCst) - reads;
    assert!(reads < 50, "{reads} reads");
    counted.fails.store(false, Ordering::SeqCst);
    wait_for(&tokens, &text, true).await;
    assert_eq!(tokens.verify(unknown.reveal()).await.unwrap_err(), Refused::Unauthenticated);
}

/// A token of another database.
async fn unknown() -> TokenText {
    let elsewhere = Tokens::new(Rig::memory().tokens, TestClock::at(START));
    made(&elsewhere, "elsewhere", &new(Role::Operator)).await.1
}

#[tokio::test]
async fn unknown_tokens_cost_no_look_at_the_database() {
    let rig = Rig::memory();
    let counted = Arc::new(Counted::new(&rig));
    let tokens = Tokens::new(counted.clone(), TestClock::at(START));
    let (_, text) = made(&tokens, "one", &new(Role::Helpdesk)).await;
    let mut strangers = Vec::new();
    for _ in 0..20 {
        strangers.push(unknown().await);
    }
    let (before, begun) = (counted.reads.load(Ordering::SeqCst), Instant::now());
    for _ in 0..100 {
        for stranger in strangers.iter().cycle().take(1_000) {
            assert_eq!(tokens.verify(stranger.reveal()).await.unwrap_err(), Refused::Unauthenticated);
        }
        assert!(tokens.verify(text.reveal()).await.is_ok());
    }
    // 100,000 of them: a look a second, as for one caller.
    let (reads, seconds) = (counted.reads.load(Ordering::SeqCst) - before, begun.elapsed().as_secs());
    assert!(reads as u64 <= seconds + 1, "{reads} reads in {seconds} s");
}

#[tokio::test]
async fn live_tokens_are_bounded_and_dead_ones_make_room() {
    let mut rig = Rig::sqlite().await;
    let tokens = Tokens::new(Arc::clone(&rig.tokens), TestClock::at(START));
    let many = |number: u64, revoked_at| StoredToken {
        id: Uuid::from_u128(number.into()),
        sha256: std::array::from_fn(|place| number.to_be_bytes()[place % 8]),
        request: key(&format!("n-{number}")),
        revoked_at,
        ..row(200)
    };
    let mut tx = rig.tokens.begin(START).await.unwrap();
    tx.raise_revision().await.unwrap();
    for number in 1..=TOKENS_MAX {
        tx.put(&many(number, Some(START))).await.unwrap();
        tx.put(&many(TOKENS_MAX + number, None)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let refused = tokens.create(&key("more"), &new(Role::Helpdesk)).await.unwrap();
    assert!(matches!(refused, TokenCreated::TooMany), "{refused:?}");
    tokens.revoke(many(2 * TOKENS_MAX, None).id).await.unwrap().unwrap();
    let (_, text) = made(&tokens, "more", &new(Role::Helpdesk)).await;
    assert!(tokens.verify(text.reveal()).await.is_ok());
    // The oldest dead token has made room.
    let all = rig.tokens.tokens(None, usize::MAX).await.unwrap();
    assert_eq!((all.len() as u64, all[0].as_ref().unwrap().id), (2 * TOKENS_MAX, Uuid::from_u128(2)));
    rig.writer.close().await.unwrap();
}

#[tokio::test]
async fn a_row_that_was_changed_behind_the_servers_back_lets_nobody_in() {
    let rig = Rig::sqlite().await;
    let tokens = Tokens::new(Arc::clone(&rig.tokens), TestClock::at(START));
    let (token, text) = made(&tokens, "one", &new(Role::Helpdesk)).await;
    let thief = rusqlite::Connection::open(rig.path()).unwrap();
    let forever = "UPDATE access_token SET expires_at = expires_at + 1000000";
    assert_eq!(thief.execute(forever, []).unwrap(), 1);
    let other = Tokens::new(Arc::clone(&rig.tokens), TestClock::at(START));
    assert_eq!(other.verify(text.reveal()).await.unwrap_err(), Refused::Unauthenticated);
    let faults = rig.audit.integrity().await.unwrap().join("\n");
    assert!(faults.contains(&token.id.to_string()), "{faults}");
}

on_each_engine! {
    rows_are_kept_as_they_are_put
    a_token_is_told_once_and_known_until_it_expires
    a_token_that_is_revoked_is_refused_by_every_server_within_the_promise
    the_last_use_is_kept_to_the_hour
    a_token_that_cannot_be_read_is_refused_alone
}
