//! Runs the steps of a script: on a new database to keep what is answered, on a kept one to compare with that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use creditledger::ledger::card::CardEdit;
use creditledger::ledger::commands::Command;
use creditledger::ledger::decide::Outcome;
use creditledger::ledger::{Posting, PostingId, Rejection, Request, RequestKey, Timestamp};
use creditledger::store::{At, CardsChanged, DefaultAlertsSet, LedgerCreated, NewDefaultAlerts};
use uuid::Uuid;

use super::commands::said_with;
use crate::desk::id;
use crate::rig::Rig;

/// What was answered when a database was made: a line `name = answer` per step and per stored thing.
#[derive(Clone)]
pub struct Answers(BTreeMap<String, String>);

impl Answers {
    pub fn read(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split_once(" = ").unwrap());
        let count = text.lines().count();
        let answers: BTreeMap<_, _> =
            lines.map(|(name, answer)| (name.to_owned(), answer.to_owned())).collect();
        assert_eq!(answers.len(), count, "a name stands twice");
        Self(answers)
    }

    /// The posting of a step, which is also the id of the work, refund or payment that it recorded.
    pub fn id(&self, name: &str) -> PostingId {
        let id = self.0[name].split(' ').next().unwrap();
        PostingId::from_uuid(Uuid::try_parse(id).unwrap())
    }
}

pub struct Stage {
    pub rig: Rig,
    /// What was answered when the database was made; none while it is being made.
    kept: Option<Answers>,
    /// What is answered now, in order.
    lines: Vec<(String, String)>,
    /// Lines about what is stored, as they were found last.
    stored: Vec<(String, String)>,
    requests: u32,
    /// The first differences; all of them tell more than one.
    faults: Vec<String>,
}

/// When the last step was made. Later steps find nothing due that was not due then.
const CLOCK: &str = "clock";

impl Stage {
    pub fn keeping(rig: Rig) -> Self {
        Self { rig, kept: None, lines: vec![], stored: vec![], requests: 0, faults: vec![] }
    }

    /// Goes on from when the database was made.
    pub fn checking(mut rig: Rig, kept: Answers) -> Self {
        rig.now = Timestamp::from_micros(kept.0[CLOCK].parse().unwrap());
        Self { kept: Some(kept), ..Self::keeping(rig) }
    }

    /// True where the database is being made.
    pub fn is_keeping(&self) -> bool {
        self.kept.is_none()
    }

    /// Keeps a line, or compares it with the kept one.
    pub fn say(&mut self, name: &str, answer: &str) {
        if let Some(kept) = &self.kept {
            match kept.0.get(name) {
                Some(expected) if expected == answer => {}
                Some(expected) => {
                    self.faults.push(format!("{name}:\n    was {expected}\n    is  {answer}"));
                }
                None => self.faults.push(format!("{name} was not there, and is {answer}")),
            }
        }
        self.lines.push((name.to_owned(), answer.to_owned()));
    }

    /// Says all that is stored now, once more where it was said before.
    pub fn say_stored(&mut self, stored: Vec<(String, String)>) {
        let is_first = self.stored.is_empty();
        self.stored = stored.clone();
        if is_first {
            for (name, answer) in &stored {
                self.say(name, answer);
            }
        }
    }

    /// What was stored when it was looked at last.
    pub fn state(&self) -> Vec<(String, String)> {
        self.stored.clone()
    }

    /// Turns to a customer of a ledger.
    pub async fn at(&mut self, ledger: &str, customer: &str) {
        let ledgers = self.rig.reader.ledgers().await.unwrap();
        self.rig.ledger = ledgers.iter().find(|found| found.id == id(ledger)).unwrap().no;
        self.rig.customer = id(customer);
    }

    /// Lets time pass while the database is being made.
    pub fn pass_days(&mut self, days: u32) {
        if self.is_keeping() {
            self.rig.now = self.rig.now.plus_days(days);
        }
    }

    /// Every second request id is a UUID.
    pub fn next_key(&mut self, name: &str) -> RequestKey {
        self.requests += 1;
        if self.requests.is_multiple_of(2) {
            RequestKey::Uuid(Uuid::from_u128(
                0x019b_7750_0000_7000_8000_0000_0000_0000 + u128::from(self.requests),
            ))
        } else {
            RequestKey::parse(&format!("{name}, request {}", self.requests)).unwrap()
        }
    }

    fn request(&mut self, name: &str, command: Command) -> Request {
        let request = Some(self.next_key(name));
        Request {
            ledger: self.rig.ledger,
            customer: self.rig.customer.clone(),
            request,
            said: said_with(&command),
            command,
        }
    }

    fn accepted(&mut self, name: &str, outcome: Outcome) -> PostingId {
        match (outcome, &self.kept) {
            (Ok(answer), kept) => {
                if kept.is_some() && !answer.replayed {
                    self.faults.push(format!("{name} was carried out a second time"));
                }
                self.say(name, &posting_line(&answer.posting));
                answer.posting.id
            }
            (Err(rejection), None) => panic!("{name} was rejected: {rejection}"),
            (Err(rejection), Some(kept)) => {
                let id = kept.id(name);
                self.faults.push(format!("{name} is rejected now: {rejection}"));
                id
            }
        }
    }

    /// A command that is accepted; sent again, it is answered from its posting.
    pub async fn ok(&mut self, name: &str, command: Command) -> PostingId {
        let request = self.request(name, command);
        let outcome = self.rig.send(&request).await;
        self.accepted(name, outcome)
    }

    /// Commands of several customers in one commit.
    pub async fn batch(&mut self, name: &str, commands: Vec<(&str, Command)>) {
        let mut requests = Vec::new();
        for (customer, command) in commands {
            self.rig.customer = id(customer);
            requests.push(self.request(name, command));
        }
        for (nth, outcome) in self.rig.batch(&requests).await.into_iter().enumerate() {
            self.accepted(&format!("{name}, command {nth}"), outcome);
        }
    }

    /// A command that is rejected. It used up nothing, so that it is not sent to a kept database.
    pub async fn rejected(&mut self, name: &str, command: Command, is_expected: fn(&Rejection) -> bool) {
        let request = self.request(name, command);
        if self.is_keeping() {
            let rejection = self.rig.send(&request).await.unwrap_err();
            assert!(is_expected(&rejection), "{name}: {rejection}");
        }
    }

    /// An accepted command's id with other content: refused now and for ever.
    pub async fn reused(&mut self, name: &str, request: RequestKey, command: Command) {
        let customer = self.rig.customer.clone();
        let request = Request {
            ledger: self.rig.ledger,
            customer,
            request: Some(request),
            said: said_with(&command),
            command,
        };
        let rejection = self.rig.send(&request).await.unwrap_err();
        assert!(matches!(rejection, Rejection::RequestIdReused { original: Some(_) }), "{name}: {rejection}");
    }

    /// A command whose request id is known afterwards.
    pub async fn ok_as(&mut self, name: &str, request: &RequestKey, command: Command) -> PostingId {
        let customer = self.rig.customer.clone();
        let request = Some(request.clone());
        let request =
            Request { ledger: self.rig.ledger, customer, request, said: said_with(&command), command };
        let outcome = self.rig.send(&request).await;
        self.accepted(name, outcome)
    }

    /// What the ledger does by itself. Nobody can ask for it again, so that its posting is read where it stands.
    pub async fn due(&mut self, name: &str) {
        let key = self.rig.key();
        let posting = if self.is_keeping() {
            self.rig.ok(Command::ApplyDue).await.posting
        } else {
            let kept = self.kept.as_ref().unwrap().0[name].clone();
            let sequence = kept.split(' ').find_map(|word| word.strip_prefix('#')).unwrap();
            let at = At::Sequence(sequence.parse().unwrap());
            self.rig.reader.posting_at(key, at).await.unwrap().unwrap().posting
        };
        self.say(name, &posting_line(&posting));
    }

    pub async fn ledger(&mut self, name: &str) {
        let created = self.rig.create_ledger(name, &format!("make {name}")).await.unwrap();
        let LedgerCreated::Created { ledger, replayed } = created else { panic!("{name}: {created:?}") };
        assert_eq!(replayed, !self.is_keeping(), "{name}");
        self.say(&format!("make ledger {name}"), &ledger.no.get().to_string());
    }

    pub async fn cards(&mut self, request: &str, change: CardEdit) {
        let changed = self.rig.change_cards(request, change).await;
        let CardsChanged::Made { change, replayed } = changed else { panic!("{request}: {changed:?}") };
        assert_eq!(replayed, !self.is_keeping(), "{request}");
        let ledger = self.rig.ledger.get();
        let line = format!("revision {} fingerprint {:016x}", change.revision, change.fingerprint);
        self.say(&format!("cards of ledger {ledger}, {request}"), &line);
    }

    pub async fn default_alerts(&mut self, new: NewDefaultAlerts) {
        let set = self.rig.writer.set_default_alerts(&new, self.rig.now).await.unwrap();
        assert_eq!(set, DefaultAlertsSet::Set { replayed: !self.is_keeping() });
    }

    /// What was answered, as it is kept.
    pub fn answers(&mut self) -> String {
        let clock = self.rig.now.micros().to_string();
        let clock = [(CLOCK.to_owned(), clock)];
        let mut text = String::new();
        for (name, answer) in clock.iter().chain(&self.lines) {
            writeln!(text, "{name} = {answer}").unwrap();
        }
        text
    }

    /// Closes the database. Nothing may differ from what was kept, and nothing of it be missing.
    pub async fn finish(mut self) -> String {
        let said: BTreeMap<_, _> = self.lines.iter().cloned().collect();
        assert_eq!(said.len(), self.lines.len(), "a name stands twice");
        if let Some(Answers(kept)) = &self.kept {
            let missing = kept.iter().filter(|(name, _)| *name != CLOCK && !said.contains_key(*name));
            self.faults.extend(missing.map(|(name, answer)| format!("{name} is gone; it was {answer}")));
        }
        let text = self.answers();
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        self.rig.writer.close().await.unwrap();
        text
    }
}

/// What is promised about a posting for ever.
pub fn posting_line(posting: &Posting) -> String {
    let after = posting.after;
    let mut line = format!(
        "{} #{} kind {} fingerprint {:016x} after {}/{}/{}",
        posting.id,
        posting.sequence,
        posting.kind.code(),
        posting.fingerprint,
        after.available,
        after.held,
        after.owed
    );
    for transfer in posting.transfers() {
        write!(line, ", {} > {} {}", transfer.debit, transfer.credit, transfer.credits).unwrap();
    }
    line
}
