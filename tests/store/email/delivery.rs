//! What becomes of messages on each engine: who gets them, what is tried again, given up, sent again and taken over, and
//! where it all begins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use creditledger::clock::Clock as _;
use creditledger::delivery::mail::{EVENTS, SmtpSettings, Templates, Tls, email_endpoint};
use creditledger::delivery::{EndpointChanged, EventPlace, Patch};
use creditledger::ledger::commands::{Command, UpdateCustomer};
use creditledger::ledger::event::EventType;
use creditledger::ledger::{Contact, LedgerNo};

use super::{Office, contact, customer, mailer_with, patiently, settings, subjects};
use crate::desk::{adjust, grant, place, purchase};
use crate::mail::{MailServer, Mode, Reply, Stage};
use crate::rig::Rig;
use crate::webhooks::on_each_engine;

async fn low_depleted_and_short_are_told_to_the_contact_and_nothing_else_is(mut rig: Rig) {
    let office = Office::new(&rig);
    let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let relay = office.open(&rig, 1, &server).await;
    customer(&mut rig, "acme", contact("carol@example.org")).await;
    rig.ok(purchase("1", "10")).await;
    rig.ok(place("INC-7", "5.5")).await;
    assert!(rig.run(place("INC-8", "7.5")).await.is_err());
    rig.ok(place("INC-9", "4.5")).await;
    server.until(|server| server.taken().len() == 3).await;
    office.settled(&rig, &server).await;
    let taken = server.taken();
    assert_eq!(
        subjects(&taken),
        [
            "acme GmbH: 4.5 support credits left",
            "acme GmbH: incident INC-8 needs 3 more support credits",
            "acme GmbH: no support credits left",
        ]
    );
    let told = office.desk.events().await;
    let ids = told.iter().filter(|told| EVENTS.contains(&told.event.event)).map(|told| told.id());
    assert_eq!(taken.iter().map(|mail| mail.event_id()).collect::<Vec<_>>(), ids.collect::<Vec<_>>());
    for mail in &taken {
        let shown = mail.shown();
        assert_eq!((mail.from.as_str(), mail.to.as_str()), ("credits@example.com", "carol@example.org"));
        let header = |name: &str| shown.headers[name].as_str();
        assert_eq!(header("from"), "Credits <credits@example.com>");
        assert_eq!(header("reply-to"), "support@example.com");
        assert_eq!(header("to"), "Carol <carol@example.org>");
        assert_eq!(header("auto-submitted"), "auto-generated");
        assert_eq!(header("date"), "Thu, 01 Jan 2026 00:00:00 +0000");
        assert_eq!(header("mime-version"), "1.0");
        assert!(header("message-id").ends_with("@example.com>"), "{}", header("message-id"));
        let link = "https://shop.example.com/main?for=acme";
        assert!(shown.text.starts_with("Hello Carol,\n\n"), "{}", shown.text);
        assert!(shown.text.contains(&format!("\nMore credits: {link}\n")), "{}", shown.text);
        assert!(
            shown.html.replace("&#x2f;", "/").contains(&format!("<a href=\"{link}\">")),
            "{}",
            shown.html
        );
        // They came one after the other over one connection.
        assert_eq!((mail.connection, mail.is_encrypted), (1, false));
    }
    let text = |nth: usize| taken[nth].shown().text;
    assert!(
        text(0).contains("acme GmbH has 4.5 support credits left. Another 5.5 are set aside"),
        "{}",
        text(0)
    );
    assert!(text(0).contains("came down to 5 credits"), "{}", text(0));
    assert!(text(1).contains("  missing    3\n  available  4.5\n  held       5.5\n"), "{}", text(1));
    assert!(text(2).contains("acme GmbH has no support credits left. 10 are set aside"), "{}", text(2));
    relay.stop().await;
}

async fn without_an_address_nothing_is_sent_and_nothing_waits(mut rig: Rig) {
    let office = Office::new(&rig);
    let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let relay = office.open(&rig, 1, &server).await;
    let none = Contact::default();
    let bad =
        ["carol", "carol@", "@example.org", "a@b@c", "carol@example.org, dave@example.org", "c d@e.org"];
    for (n, contact) in std::iter::once(none).chain(bad.iter().map(|email| contact(email))).enumerate() {
        customer(&mut rig, &format!("c{n}"), contact).await;
        rig.ok(purchase(&format!("{n}"), "10")).await;
        rig.ok(adjust("-10")).await;
    }
    let dead = office.deliveries(true, |dead| dead.len() == 2 * bad.len()).await;
    for delivery in &dead {
        assert_eq!((delivery.attempts, delivery.status, delivery.next_at), (1, 0, None));
        assert_eq!(delivery.error.as_str(), "the customer's contact has no valid e-mail address");
        assert_ne!(delivery.customer.as_str(), "c0", "to have none is no failure");
    }
    office.settled(&rig, &server).await;
    assert_eq!(office.deliveries(false, |_| true).await, []);
    assert_eq!(server.seen(Stage::Connect, ""), 0);
    // Put right, it is sent on request.
    let first = dead.iter().find(|delivery| delivery.customer.as_str() == "c6").unwrap();
    let put_right =
        UpdateCustomer { contact: Some(contact("carol@example.org")), ..UpdateCustomer::default() };
    rig.ok(Command::UpdateCustomer(put_right)).await;
    redeliver(&office, first.position, first.place).await;
    office.pass_until(&server, |server| !server.taken().is_empty()).await;
    assert_eq!(server.taken()[0].event_id(), first.event_id.as_str());
    relay.stop().await;
}

async fn redeliver(office: &Office, position: creditledger::store::Position, index: u32) {
    let request = office.desk.request();
    let id = email_endpoint(LedgerNo::MAIN);
    let place = EventPlace { position, index };
    let asked = office.desk.webhooks.redeliver(LedgerNo::MAIN, request, id, place).await.unwrap();
    assert!(matches!(asked, EndpointChanged::Done { replayed: false, .. }), "{asked:?}");
}

async fn a_refusal_of_the_recipient_is_final_and_others_are_tried_again_by_the_schedule(mut rig: Rig) {
    let office = Office::new(&rig);
    // Who is refused for good, whose mailbox is full, and whose message is not liked, is known by the address.
    let server = MailServer::start(Mode::Plain, |stage, to| match (stage, to) {
        (Stage::Recipient, "gone@example.org") => Reply::Code(550),
        (Stage::Message, "spam@example.org") => Reply::Code(554),
        (Stage::Recipient, "full@example.org") => Reply::Code(450),
        _ => Reply::Ok,
    })
    .await;
    let relay = office.open(&rig, 1, &server).await;
    for name in ["gone", "spam", "full", "well"] {
        customer(&mut rig, name, contact(&format!("{name}@example.org"))).await;
        rig.ok(purchase(name, "10")).await;
        rig.ok(adjust("-6")).await;
        rig.ok(adjust("-4")).await;
    }
    server.until(|server| server.taken().len() == 2).await;
    let dead = office.deliveries(true, |dead| dead.len() == 4).await;
    let codes: BTreeSet<(&str, u32, u32)> =
        dead.iter().map(|it| (it.customer.as_str(), it.status, it.attempts)).collect();
    assert_eq!(codes, [("gone", 550, 1), ("spam", 554, 1)].into());
    assert!(dead.iter().all(|it| it.error.as_str().contains("as the test wants it")), "{dead:?}");
    for (attempt, delay) in (1..).zip([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]) {
        let waiting =
            office.deliveries(false, |it| it.first().is_some_and(|it| it.attempts == attempt)).await;
        // The second one of the customer waits behind the first.
        let shown: Vec<_> = waiting.iter().map(|it| (it.customer.as_str(), it.attempts, it.status)).collect();
        assert_eq!(shown, [("full", attempt, 450), ("full", 0, 0)]);
        let next = waiting[0].next_at.unwrap();
        let wait = (next.micros() - office.desk.clock.now().micros()) / 1_000_000;
        assert!((delay * 9 / 10 - 1..=delay * 11 / 10 + 1).contains(&wait), "{attempt}: {wait}");
        office.desk.clock.set(next);
    }
    let dead = office.deliveries(true, |dead| dead.len() == 5).await;
    assert!(dead.iter().any(|it| (it.customer.as_str(), it.attempts) == ("full", 10)), "{dead:?}");
    // There is room again: the second comes at its time, the first on request, with the id that it always had.
    server.answer(|_, _| Reply::Ok);
    let first = dead.iter().find(|it| it.customer.as_str() == "full").unwrap();
    redeliver(&office, first.position, first.place).await;
    office.pass_until(&server, |server| server.taken().len() >= 4).await;
    let ids: BTreeSet<String> = server.taken().iter().map(|mail| mail.event_id()).collect();
    assert!(ids.contains(first.event_id.as_str()) && ids.len() == 4, "{ids:?}");
    relay.stop().await;
}

/// Random numbers with a fixed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

async fn a_server_that_fails_in_every_way_loses_nothing(mut rig: Rig) {
    let office = Office::new(&rig);
    let mut dice = Dice(20_261_126);
    let server = MailServer::start(Mode::Plain, move |stage, _| match (stage, dice.below(60)) {
        (_, 0) => Reply::Reset,
        (_, 1) => Reply::Code(421),
        (_, 2) => Reply::Hang,
        (Stage::Connect, 3) => Reply::Code(554),
        (Stage::Sender, 3) => Reply::Code(530),
        (Stage::Recipient | Stage::Data | Stage::Message, 3) => Reply::Code(451),
        _ => Reply::Ok,
    })
    .await;
    let settings = SmtpSettings { timeout: Duration::from_secs(15), ..settings(server.port, Tls::None) };
    let mailer = mailer_with(settings, Templates::load(None).unwrap(), &office.clock());
    let relay = office.open_with(&rig, 1, mailer).await;
    let customers = ["acme", "zeta", "nova"];
    for name in customers {
        customer(&mut rig, name, contact(&format!("{name}@example.org"))).await;
    }
    for round in 0..12 {
        for name in customers {
            rig.customer = crate::desk::id(name);
            rig.ok(purchase(&format!("{name}-{round}"), "10")).await;
            rig.ok(adjust("-6")).await;
            rig.ok(adjust("-4")).await;
        }
        office.desk.clock.pass(1);
    }
    let told = office.desk.events().await;
    let told: Vec<_> = told.into_iter().filter(|told| EVENTS.contains(&told.event.event)).collect();
    assert_eq!(told.len(), 12 * 3 * 2);
    let expected: BTreeSet<String> = told.iter().map(|told| told.id()).collect();
    let arrived = || server.taken().iter().map(|mail| mail.event_id()).collect::<BTreeSet<_>>();
    let end = office.desk.webhooks.last_position(LedgerNo::MAIN).await.unwrap();
    patiently(async {
        while arrived() != expected {
            // Hours in one leap, where all that is left waits for its next attempt.
            let waiting = office.deliveries(false, |_| true).await;
            let next = waiting.iter().filter_map(|waiting| waiting.next_at).min();
            let is_through = office.stored(&rig, LedgerNo::MAIN).await.unwrap().done == end;
            let idle_until = office.desk.clock.now().plus_seconds(60);
            match next.filter(|next| is_through && *next > idle_until) {
                Some(next) => office.desk.clock.set(next.plus_seconds(-30)),
                None => office.second(&server).await,
            }
        }
    })
    .await;
    // Each customer's first came in their order.
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for mail in server.taken() {
        if seen.insert(mail.event_id()) {
            let place = told.iter().position(|told| told.id() == mail.event_id()).unwrap();
            places.entry(mail.to).or_default().push(place);
        }
    }
    assert_eq!(places.len(), 3);
    assert!(places.values().all(|places| places.is_sorted()), "{places:?}");
    let connections = server.taken().iter().map(|mail| mail.connection).max().unwrap();
    assert!(connections > 5, "{connections} connections: hardly one has broken");
    assert_eq!(office.deliveries(true, |_| true).await, []);
    relay.stop().await;
}

async fn two_servers_do_not_both_send_and_one_takes_over_from_one_that_dies(mut rig: Rig) {
    let office = Office::new(&rig);
    let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let (one, other) = (office.open(&rig, 1, &server).await, office.open(&rig, 2, &server).await);
    // A server without e-mail leaves it to them, and takes no share away.
    let without = office.desk.relay(&rig, 3);
    customer(&mut rig, "acme", contact("carol@example.org")).await;
    for round in 0..10_usize {
        rig.ok(purchase(&format!("{round}"), "10")).await;
        rig.ok(adjust("-10")).await;
        server.until(|server| server.taken().len() == 2 * (round + 1)).await;
        office.desk.clock.pass(1);
    }
    office.settled(&rig, &server).await;
    assert_eq!(server.taken().len(), 20);
    let holder = office.stored(&rig, LedgerNo::MAIN).await.unwrap().holder.unwrap().as_u128();
    assert!(holder == 1 || holder == 2, "{holder}");
    // It dies while a message is under way: that one is sent again by the other.
    server.answer(|stage, _| if stage == Stage::Message { Reply::Hang } else { Reply::Ok });
    rig.ok(purchase("last", "10")).await;
    rig.ok(adjust("-10")).await;
    server.until(|server| server.seen(Stage::Message, "") == 21).await;
    let (dies, lives) = if holder == 1 { (one, other) } else { (other, one) };
    dies.kill().await;
    server.answer(|_, _| Reply::Ok);
    office.pass_until(&server, |server| server.taken().len() >= 22).await;
    let ids: BTreeSet<String> = server.taken().iter().map(|mail| mail.event_id()).collect();
    assert_eq!(ids.len(), 22);
    lives.stop().await;
    without.stop().await;
}

async fn it_begins_at_the_end_and_goes_on_where_it_was(mut rig: Rig) {
    let office = Office::new(&rig);
    let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    customer(&mut rig, "acme", contact("carol@example.org")).await;
    let spend = async |rig: &mut Rig, order: &str| {
        rig.now = rig.now.max(office.desk.clock.now());
        rig.ok(purchase(order, "10")).await;
        rig.ok(adjust("-10")).await;
    };
    spend(&mut rig, "before").await;
    let relay = office.open(&rig, 1, &server).await;
    spend(&mut rig, "first").await;
    server.until(|server| server.taken().len() == 2).await;
    office.settled(&rig, &server).await;
    // A ledger that is made later is told of from its beginning.
    let main = rig.ledger;
    rig.new_ledger("shop").await;
    let shop = rig.ledger;
    customer(&mut rig, "zeta", contact("dave@example.org")).await;
    spend(&mut rig, "shop").await;
    office.pass_until(&server, |server| server.taken().len() >= 4).await;
    let last = server.taken().pop().unwrap();
    assert_eq!(last.to, "dave@example.org");
    assert!(last.shown().text.contains("https://shop.example.com/shop?for=zeta"), "{}", last.shown().text);
    // A restart goes on where it was, a day later too.
    relay.stop().await;
    (rig.ledger, rig.customer) = (main, crate::desk::id("acme"));
    spend(&mut rig, "meanwhile").await;
    office.desk.clock.pass(86_400);
    let relay = office.open(&rig, 2, &server).await;
    server.until(|server| server.taken().len() == 6).await;
    office.settled(&rig, &server).await;
    relay.stop().await;
    // After more than a week nobody is told of what was then.
    spend(&mut rig, "long-ago").await;
    office.desk.clock.pass(8 * 86_400);
    let relay = office.open(&rig, 3, &server).await;
    let end = office.desk.webhooks.last_position(main).await.unwrap();
    patiently(async {
        while office.stored(&rig, main).await.unwrap().done < end {
            tokio::task::yield_now().await;
        }
    })
    .await;
    spend(&mut rig, "now").await;
    server.until(|server| server.taken().len() >= 8).await;
    let ids: BTreeSet<String> = server.taken().iter().map(|mail| mail.event_id()).collect();
    let told = office.desk.events().await;
    let told: Vec<_> = told.iter().filter(|told| EVENTS.contains(&told.event.event)).collect();
    let missed: Vec<bool> = told.iter().map(|told| !ids.contains(&told.id())).collect();
    assert_eq!(missed, [true, true, false, false, false, false, true, true, false, false]);
    assert!(office.stored(&rig, shop).await.is_some());
    relay.stop().await;
}

async fn callers_see_its_deliveries_and_can_change_nothing_about_it(mut rig: Rig) {
    let office = Office::new(&rig);
    let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let relay = office.open(&rig, 1, &server).await;
    customer(&mut rig, "acme", contact("carol@example.org")).await;
    rig.ok(grant("1")).await;
    let webhooks = &office.desk.webhooks;
    let (main, id) = (LedgerNo::MAIN, email_endpoint(LedgerNo::MAIN));
    assert_eq!(webhooks.endpoints(main).await.unwrap(), []);
    assert_eq!(webhooks.endpoint(main, id).await.unwrap(), None);
    let patch = Patch { enabled: Some(false), ..Patch::default() };
    let changed = webhooks.update(main, office.desk.request(), id, patch).await.unwrap();
    assert_eq!(changed, EndpointChanged::EndpointNotFound);
    let deleted = webhooks.delete(main, office.desk.request(), id).await.unwrap();
    assert_eq!(deleted, EndpointChanged::EndpointNotFound);
    // An event that people are not told of by mail is none here.
    let told = office.desk.events().await;
    let granted = told.iter().find(|told| told.event.event == EventType::CreditsGranted).unwrap();
    let place = EventPlace { position: granted.position, index: granted.index };
    let asked = webhooks.redeliver(main, office.desk.request(), id, place).await.unwrap();
    assert_eq!(asked, EndpointChanged::EventNotFound);
    relay.stop().await;
}

on_each_engine! {
    low_depleted_and_short_are_told_to_the_contact_and_nothing_else_is
    without_an_address_nothing_is_sent_and_nothing_waits
    a_refusal_of_the_recipient_is_final_and_others_are_tried_again_by_the_schedule
    a_server_that_fails_in_every_way_loses_nothing
    two_servers_do_not_both_send_and_one_takes_over_from_one_that_dies
    it_begins_at_the_end_and_goes_on_where_it_was
    callers_see_its_deliveries_and_can_change_nothing_about_it
}
