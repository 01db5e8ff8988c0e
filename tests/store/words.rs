//! What was said can be forgotten: no byte of it stays, and nothing else changes.

use creditledger::audit::verify;
use creditledger::ledger::commands::{
    ChargeIncident, Command, ConfirmEstimate, CreateCustomer, EstimateIncident, NewWork, OnShortfall,
    PlaceHold, Quote, RecordWork, RefundPurchase, ReleaseHold, Said, SetCustomerTerms, SettleHold,
    UpdateCustomer,
};
use creditledger::ledger::{Contact, PostingId, Profile, Request, Text, Texts};
use creditledger::store::Erased;
use rusqlite::Connection;

use crate::desk::{
    adjust, charge_back, charge_command, close_incident, credits, decline, estimate_command, extend, grant,
    id, incident, new_work, order_ref, place, priced, purchase, resolve, reverse, reverse_refund,
    settle_command, void,
};
use crate::rig::{Rig, on_each_engine};

/// Stands in every text of the customer that is forgotten, and in nothing else.
const SECRET: &str = "qzx7secret";
/// The same for another one.
const OTHER: &str = "qzx8neighbour";

on_each_engine! {
    what_was_said_is_forgotten_and_nothing_else_changes
    a_hold_that_was_forgotten_goes_on
    nothing_is_forgotten_of_who_is_not_there
}

/// Texts that nobody else has.
struct Speaker {
    word: &'static str,
    said: u32,
}

impl Speaker {
    fn text(&mut self, what: &str) -> Text {
        self.said += 1;
        id(&format!("{what} {} {}", self.word, self.said))
    }

    fn said(&mut self) -> Said {
        let metadata = [(self.text("key"), self.text("value")), (self.text("key"), self.text("value"))];
        Said { by: self.text("by"), reason: self.text("reason"), metadata: metadata.into(), actor: None }
    }

    fn contact(&mut self) -> Contact {
        Contact { name: self.text("contact"), email: self.text("mail"), locale: self.text("locale") }
    }

    fn work(&mut self, hold: &str, minutes: u64) -> Command {
        let work = NewWork { note: self.text("work"), ..new_work(minutes) };
        Command::RecordWork(RecordWork { hold: incident(hold), work })
    }

    fn estimate(&mut self, name: &str, amount: &str) -> EstimateIncident {
        EstimateIncident {
            note: self.text("note"),
            range_override: self.text("override"),
            ..estimate_command(name, Quote::Credits(credits(amount)))
        }
    }
}

/// Says something in a command, and keeps its request.
async fn say(rig: &mut Rig, speaker: &mut Speaker, asked: &mut Vec<Request>, command: Command) -> PostingId {
    let request = Request { said: speaker.said(), ..rig.request(command) };
    let answer = rig.send(&request).await.unwrap_or_else(|rejection| panic!("{request:?}: {rejection}"));
    asked.push(request);
    answer.posting.id
}

/// Every command that says something; a hold and a quote stay open.
async fn live(rig: &mut Rig, customer: &str, word: &'static str) -> Vec<Request> {
    rig.customer = id(customer);
    let mut speaker = Speaker { word, said: 0 };
    let s = &mut speaker;
    let mut asked = Vec::new();
    let profile = Profile {
        name: s.text("name"),
        contact: s.contact(),
        metadata: [(s.text("key"), s.text("value"))].into(),
    };
    let create = CreateCustomer { profile, ..CreateCustomer::default() };
    say(rig, s, &mut asked, Command::CreateCustomer(create)).await;
    let update = UpdateCustomer { contact: Some(s.contact()), ..UpdateCustomer::default() };
    say(rig, s, &mut asked, Command::UpdateCustomer(update)).await;
    let order = format!("{customer}-1");
    for command in
        [priced(&order, "40", 4_000), purchase(&format!("{customer}-2"), "9"), grant("3"), adjust("-1")]
    {
        say(rig, s, &mut asked, command).await;
    }
    let terms = SetCustomerTerms { charge: credits("1"), ..SetCustomerTerms::default() };
    say(rig, s, &mut asked, Command::SetCustomerTerms(terms)).await;

    // Estimated, confirmed, worked on, settled and reversed.
    let estimate = EstimateIncident { quote: Quote::Seconds(3_600), ..s.estimate("i1", "2") };
    let estimate = Command::EstimateIncident(estimate);
    say(rig, s, &mut asked, estimate).await;
    let confirm = Command::ConfirmEstimate(ConfirmEstimate { hold: incident("i1"), park: false });
    say(rig, s, &mut asked, confirm).await;
    say(rig, s, &mut asked, extend("i1", "1")).await;
    let work = s.work("i1", 30);
    let entry = say(rig, s, &mut asked, work).await;
    let work = s.work("i1", 60);
    say(rig, s, &mut asked, work).await;
    say(rig, s, &mut asked, void("i1", entry)).await;
    say(rig, s, &mut asked, Command::SettleHold(settle_command("i1"))).await;
    say(rig, s, &mut asked, reverse("i1", Some("0.5"))).await;

    // Waived, released, declined, closed, charged at once.
    let place_again = Command::PlaceHold(PlaceHold { estimate: s.estimate("i2", "1"), park: false });
    say(rig, s, &mut asked, place_again).await;
    let work = s.work("i2", 15);
    say(rig, s, &mut asked, work).await;
    let waived = SettleHold { waive_reason: s.text("waived"), ..settle_command("i2") };
    say(rig, s, &mut asked, Command::SettleHold(waived)).await;
    say(rig, s, &mut asked, place("i3", "1")).await;
    let release = ReleaseHold { hold: incident("i3"), waive_reason: s.text("waived") };
    say(rig, s, &mut asked, Command::ReleaseHold(release)).await;
    let quoted = Command::EstimateIncident(s.estimate("i4", "1"));
    say(rig, s, &mut asked, quoted).await;
    say(rig, s, &mut asked, decline("i4")).await;
    say(rig, s, &mut asked, place("i5", "1")).await;
    say(rig, s, &mut asked, close_incident("i5")).await;
    let work = NewWork { note: s.text("work"), ..new_work(10) };
    let charge = ChargeIncident { work, waive_reason: s.text("waived"), ..charge_command("i6", 10) };
    say(rig, s, &mut asked, Command::ChargeIncident(charge)).await;

    // Money back.
    let refund = RefundPurchase {
        purchase: order_ref(&order),
        credits: credits("1"),
        price: None,
        expected_refunded: None,
        on_shortfall: OnShortfall::Reject,
    };
    let refund = say(rig, s, &mut asked, Command::RefundPurchase(refund)).await;
    say(rig, s, &mut asked, reverse_refund(&order, refund)).await;
    say(rig, s, &mut asked, charge_back(&order, Some("1"))).await;
    say(rig, s, &mut asked, resolve(&order, true)).await;

    // These stay open.
    let open = Command::PlaceHold(PlaceHold { estimate: s.estimate("i7", "2"), park: false });
    say(rig, s, &mut asked, open).await;
    let work = s.work("i7", 15);
    say(rig, s, &mut asked, work).await;
    let quoted = Command::EstimateIncident(s.estimate("i8", "1"));
    say(rig, s, &mut asked, quoted).await;
    asked
}

async fn is_sound(rig: &Rig) {
    let report = verify(&*rig.audit, |_| {}).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
}

async fn what_was_said_is_forgotten_and_nothing_else_changes(mut rig: Rig) {
    let neighbours = live(&mut rig, "neighbour", OTHER).await;
    let asked = live(&mut rig, "acme", SECRET).await;
    let key = rig.key();
    let before = rig.reader.postings_of(key, 1, 1_000).await.unwrap().items;
    let balances = rig.reader.customer(key).await.unwrap().unwrap();
    assert!(format!("{before:?}").contains(SECRET));

    rig.now = rig.now.plus_seconds(60);
    let at = rig.now;
    let erased = rig.writer.erase_words(rig.ledger, &rig.customer.clone(), at).await.unwrap();
    assert_eq!(erased, Erased { postings: asked.len().try_into().unwrap(), kept: 0 });
    is_sound(&rig).await;
    assert_eq!(rig.reader.customer(key).await.unwrap().unwrap(), balances);

    // The journal is as it was, but for what was said.
    let after = rig.reader.postings_of(key, 1, 1_000).await.unwrap().items;
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.posting.texts, Texts::Erased(at));
        assert_eq!(Some(&*after.posting), before.posting.forgotten(at).unwrap().as_ref());
    }
    let profile = rig.reader.profile(key).await.unwrap().unwrap();
    assert!(
        profile.name.is_erased() && profile.contact.email.is_erased() && profile.name.as_str().is_empty()
    );
    for incident in ["i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8"] {
        let holds = rig.reader.holds_of_incident(key, &id(incident)).await.unwrap();
        assert!(!holds.is_empty() && !format!("{holds:?}").contains(SECRET), "{holds:?}");
    }
    // Why nothing was charged is gone; that there was a reason is not.
    let waived = &rig.reader.holds_of_incident(key, &id("i2")).await.unwrap()[0];
    let inputs = &waived.settlement.as_ref().unwrap().inputs;
    assert!(inputs.waive_reason.is_erased() && !inputs.waive_reason.is_empty());

    // Old request ids are answered as before; other content is still told from it.
    for (request, posting) in asked.iter().zip(after.into_iter().map(|recorded| recorded.posting)) {
        let again = rig.send(request).await.unwrap();
        assert!(again.replayed, "{request:?}");
        assert_eq!(again.posting, posting);
        assert!(!format!("{again:?}").contains(SECRET));
        let said = Said { by: id("eve"), ..request.said.clone() };
        assert!(rig.send(&Request { said, ..request.clone() }).await.is_err());
    }
    // Asked twice, nothing is left to erase.
    let again = rig.writer.erase_words(rig.ledger, &id("acme"), at.plus_seconds(9)).await.unwrap();
    assert_eq!(again, Erased::default());

    // The neighbour's words are there.
    rig.customer = id("neighbour");
    assert!(rig.send(&neighbours[0]).await.unwrap().replayed);
    let profile = rig.reader.profile(rig.key()).await.unwrap().unwrap();
    assert!(profile.name.as_str().contains(OTHER));
}

async fn a_hold_that_was_forgotten_goes_on(mut rig: Rig) {
    live(&mut rig, "acme", SECRET).await;
    rig.writer.erase_words(rig.ledger, &rig.customer.clone(), rig.now).await.unwrap();
    let later: Said = Said { by: id("later"), ..Said::default() };
    for command in [
        Command::SettleHold(settle_command("i7")),
        Command::ConfirmEstimate(ConfirmEstimate { hold: incident("i8"), park: false }),
        Command::UpdateCustomer(UpdateCustomer { name: Some(id("new name")), ..UpdateCustomer::default() }),
    ] {
        let request = Request { said: later.clone(), ..rig.request(command) };
        let answer = rig.send(&request).await.unwrap();
        assert!(answer.posting.texts == Texts::Separate && answer.posting.detail.by.as_str() == "later");
        assert_eq!(rig.send(&request).await.unwrap().posting, answer.posting);
    }
    is_sound(&rig).await;
    let mut rig = rig.reopen().await;
    let profile = rig.reader.profile(rig.key()).await.unwrap().unwrap();
    assert!(profile.name.as_str() == "new name" && profile.contact.name.is_erased());
    let hold = &rig.reader.holds_of_incident(rig.key(), &id("i7")).await.unwrap()[0];
    assert!(hold.note.is_erased() && hold.ended_by.as_str() == "later");
    // What was said since is forgotten with the next time.
    let erased = rig.writer.erase_words(rig.ledger, &id("acme"), rig.now).await.unwrap();
    assert_eq!(erased, Erased { postings: 3, kept: 0 });
    is_sound(&rig).await;
}

async fn nothing_is_forgotten_of_who_is_not_there(mut rig: Rig) {
    rig.new_customer("acme").await;
    let erased = rig.writer.erase_words(rig.ledger, &id("nobody"), rig.now).await.unwrap();
    assert_eq!(erased, Erased::default());
    rig.ok(grant("1")).await;
    is_sound(&rig).await;
}

#[tokio::test]
async fn no_byte_of_it_stays_in_the_file() {
    let mut rig = Rig::sqlite().await;
    live(&mut rig, "neighbour", OTHER).await;
    live(&mut rig, "acme", SECRET).await;
    let path = rig.path();
    let holds = |word: &str| {
        let bytes = std::fs::read(&path).unwrap();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    };
    rig.writer.erase_words(rig.ledger, &id("acme"), rig.now).await.unwrap();
    // The directory goes with the rig.
    let rig = rig.reopen().await;
    let vacuum = Connection::open(&path).unwrap();
    vacuum
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
        .unwrap();
    drop(vacuum);
    assert!(holds(OTHER) && !holds(SECRET));
    is_sound(&rig).await;
}

#[tokio::test]
async fn what_was_said_is_erased_or_stays() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    rig.ok(grant("1")).await;
    let database = Connection::open(rig.path()).unwrap();
    for sql in [
        "DELETE FROM posting_words WHERE key = 2",
        "UPDATE posting_words SET words = x'00' WHERE key = 2",
        "UPDATE posting_words SET words = NULL WHERE key = 2",
        "UPDATE posting_words SET key = 9, words = NULL, erased_at = 1, checksum = NULL WHERE key = 2",
        "UPDATE posting_words SET erased_at = 1 WHERE key = 2",
    ] {
        assert!(database.execute(sql, []).is_err(), "{sql}");
    }
    let erase = "UPDATE posting_words SET words = NULL, erased_at = 1, checksum = NULL WHERE key = 2";
    assert_eq!(database.execute(erase, []), Ok(1));
    assert!(database.execute(erase, []).is_err());
}
