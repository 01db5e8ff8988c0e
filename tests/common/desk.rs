//! A support desk in memory: one book that lives for the whole test, a clock that the test drives, and short ways to
//! write commands down.

use std::sync::Arc;

use creditledger::cards;
use creditledger::ledger::account::Transfer;
use creditledger::ledger::book::{Answer, Book};
use creditledger::ledger::card::{CardChange, CardEdit, Cards, RateCard};
use creditledger::ledger::commands::{
    AdjustBalance, ChargeIncident, CloseIncident, ClosePayment, Command, ConfirmEstimate, CreateCustomer,
    DeclineEstimate, EstimateIncident, ExtendHold, GrantCredits, HoldRef, KeepPayment, NewWork, OnShortfall,
    Overrun, PlaceHold, PurchaseCredits, PurchaseRef, Quote, RecordChargeback, RecordWork, RefundPurchase,
    ReleaseHold, ResolveChargeback, ReverseRefund, ReverseSettlement, Said, SettleHold, VoidWork,
};
use creditledger::ledger::decide::{Outcome, decide};
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::payment::{Payment, PaymentEvent};
use creditledger::ledger::{
    Credits, Currency, Customer, CustomerId, CustomerKey, Hold, LedgerNo, Money, OpenText, OrderId,
    PostingId, Rejection, Request, RequestKey, Storefront, Text, Timestamp,
};

/// Where the clock starts: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub struct Desk {
    pub book: Book,
    pub customer: CustomerId,
    requests: u32,
}

impl Desk {
    /// A desk with the customer `acme`, who has no credits.
    pub fn new() -> Self {
        let mut desk = Self::without_customer();
        desk.ok(Command::CreateCustomer(CreateCustomer::default()));
        desk
    }

    pub fn without_customer() -> Self {
        let customer = CustomerId::parse("acme").unwrap();
        Self { book: Book::new(START, 7, Arc::new(cards::built_in())), customer, requests: 0 }
    }

    /// Makes a change of the cards of ledger main, as an operator would.
    pub fn change_cards(&mut self, changed: CardEdit) {
        let mut cards = Cards::clone(&self.book.cards);
        let change = CardChange {
            revision: cards.revision() + 1,
            ledger: LedgerNo::MAIN,
            changed,
            recorded_at: self.book.now,
            request: RequestKey::parse("cards").unwrap(),
            fingerprint: 1,
            by: Text::EMPTY,
        };
        cards.apply(&change).unwrap();
        self.book.cards = Arc::new(cards);
    }

    /// From now on this preset prices what has no card yet.
    pub fn use_preset(&mut self, name: &str) {
        self.change_cards(CardEdit::Default(id(name)));
    }

    /// A desk whose customer bought `credits`, and whose default card is a preset.
    pub fn under(preset: &str, credits: &str) -> Self {
        let mut desk = Self::with(credits);
        desk.use_preset(preset);
        desk
    }

    /// A desk whose customer bought `credits`.
    pub fn with(credits: &str) -> Self {
        let mut desk = Self::new();
        desk.ok(purchase("first", credits));
        desk
    }

    pub fn request(&mut self, command: Command) -> Request {
        self.requests += 1;
        Request {
            ledger: LedgerNo::MAIN,
            customer: self.customer.clone(),
            request: Some(RequestKey::parse(&format!("request {}", self.requests)).unwrap()),
            said: said(),
            command,
        }
    }

    pub fn run(&mut self, command: Command) -> Outcome {
        let request = self.request(command);
        self.send(&request)
    }

    pub fn send(&mut self, request: &Request) -> Outcome {
        // Time never stands still between two batches.
        self.book.now = Timestamp::from_micros(self.book.now.micros() + 1);
        decide(&mut self.book, request).unwrap()
    }

    #[track_caller]
    pub fn ok(&mut self, command: Command) -> Answer {
        match self.run(command.clone()) {
            Ok(answer) => answer,
            Err(rejection) => panic!("{command:?} was rejected: {rejection}"),
        }
    }

    #[track_caller]
    pub fn rejected(&mut self, command: Command) -> Rejection {
        match self.run(command.clone()) {
            Ok(answer) => panic!("{command:?} was accepted: {:?}", answer.posting),
            Err(rejection) => rejection,
        }
    }

    pub fn pass_days(&mut self, days: u32) {
        self.book.now = self.book.now.plus_days(days);
    }

    pub fn state(&self) -> &Customer {
        self.book.entry(CustomerKey::of(LedgerNo::MAIN, &self.customer)).unwrap().customer.as_ref().unwrap()
    }

    /// `available held owed`
    pub fn balances(&self) -> String {
        let balances = self.state().balances;
        format!("{} {} {}", balances.available, balances.held, balances.owed)
    }

    /// What is left in each lot, in burn order.
    pub fn lots(&self) -> String {
        let left: Vec<String> = self.state().state.lots.iter().map(|lot| lot.left.to_string()).collect();
        left.join(" ")
    }

    pub fn hold(&self, incident: &str) -> &Hold {
        let entry = self.book.entry(CustomerKey::of(LedgerNo::MAIN, &self.customer)).unwrap();
        entry.incident(&id(incident)).next_back().unwrap()
    }

    /// The kinds of the postings since the first `skip`.
    pub fn kinds(&self, skip: usize) -> Vec<String> {
        self.book.journal()[skip..].iter().map(|posting| posting.kind.to_string()).collect()
    }
}

/// `debit > credit amount` for each transfer, joined by commas.
pub fn transfers(answer: &Answer) -> String {
    let shown: Vec<String> = answer
        .posting
        .transfers()
        .map(|Transfer { debit, credit, credits }| format!("{debit} > {credit} {credits}"))
        .collect();
    shown.join(", ")
}

pub trait FromText {
    fn from_text(text: &str) -> Self;
}

macro_rules! from_text {
    ($($name:ty)*) => { $(impl FromText for $name {
        fn from_text(text: &str) -> Self {
            <$name>::parse(text).unwrap()
        }
    })* };
}
from_text!(
    creditledger::ledger::ids::LabelId
    creditledger::ledger::ids::PackageId
    creditledger::ledger::IncidentId
    creditledger::ledger::ClassId
    creditledger::ledger::ids::LineId
    creditledger::ledger::ids::CardId
    creditledger::ledger::LedgerId
    CustomerId OrderId Storefront Text Credits
);

pub fn id<T: FromText>(text: &str) -> T {
    T::from_text(text)
}

/// A preset.
pub fn preset(name: &str) -> RateCard {
    cards::preset(&id(name)).unwrap().clone()
}

pub fn credits(text: &str) -> Credits {
    Credits::parse(text).unwrap()
}

pub fn incident(text: &str) -> HoldRef {
    HoldRef::Incident(id(text))
}

/// What is said with every command.
pub fn said() -> Said {
    Said { by: id("ann"), reason: id("as agreed"), metadata: [(id("ticket"), id("T-1"))].into(), actor: None }
}

pub fn purchase_command(order: &str, amount: &str) -> PurchaseCredits {
    PurchaseCredits {
        storefront: id("web"),
        order: id(order),
        credits: credits(amount),
        price: None,
        expires_at: None,
    }
}

pub fn purchase(order: &str, amount: &str) -> Command {
    Command::PurchaseCredits(purchase_command(order, amount))
}

pub fn purchase_until(order: &str, amount: &str, expires_at: Timestamp) -> Command {
    Command::PurchaseCredits(PurchaseCredits {
        expires_at: Some(expires_at),
        ..purchase_command(order, amount)
    })
}

/// An amount in cents.
pub fn euro(cents: i64) -> Money {
    Money { currency: Currency::parse("EUR").unwrap(), minor_units: cents }
}

pub fn priced(order: &str, amount: &str, cents: i64) -> Command {
    Command::PurchaseCredits(PurchaseCredits { price: Some(euro(cents)), ..purchase_command(order, amount) })
}

pub fn order_ref(order: &str) -> PurchaseRef {
    PurchaseRef::Order(id("web"), id(order))
}

pub fn refund_command(order: &str, amount: &str, on_shortfall: OnShortfall) -> RefundPurchase {
    RefundPurchase {
        purchase: order_ref(order),
        credits: credits(amount),
        price: None,
        expected_refunded: None,
        on_shortfall,
    }
}

pub fn refund(order: &str, amount: &str, on_shortfall: OnShortfall) -> Command {
    Command::RefundPurchase(refund_command(order, amount, on_shortfall))
}

pub fn reverse_refund(order: &str, refund: PostingId) -> Command {
    let purchase = order_ref(order);
    Command::ReverseRefund(ReverseRefund { purchase, refund })
}

pub fn charge_back(order: &str, amount: Option<&str>) -> Command {
    Command::RecordChargeback(RecordChargeback {
        purchase: order_ref(order),
        credits: amount.map(credits),
        price: None,
    })
}

pub fn resolve(order: &str, won: bool) -> Command {
    let purchase = order_ref(order);
    Command::ResolveChargeback(ResolveChargeback { purchase, won })
}

pub fn keep_payment(order: &str) -> Command {
    Command::KeepPayment(KeepPayment {
        payment: Payment {
            event: PaymentEvent::Paid,
            storefront: id("web"),
            order: id(order),
            key: OpenText(id("paid")),
            customer: Text::EMPTY,
            products: vec![OpenText(id("1 x poster"))],
            credits: None,
            price: Some(euro(500)),
            cumulative: false,
            reason: id("none of the products is mapped to credits"),
        },
    })
}

pub fn close_payment(payment: PostingId) -> Command {
    Command::ClosePayment(ClosePayment { payment, is_order: false })
}

pub fn grant(amount: &str) -> Command {
    Command::GrantCredits(GrantCredits { credits: credits(amount), expires_at: None })
}

pub fn adjust(amount: &str) -> Command {
    Command::AdjustBalance(AdjustBalance { credits: credits(amount) })
}

pub fn estimate_command(incident: &str, quote: Quote) -> EstimateIncident {
    EstimateIncident {
        incident: id(incident),
        class: None,
        quote,
        opened_at: None,
        expires_at: None,
        range_override: Text::EMPTY,
        note: Text::EMPTY,
        circumstances: Circumstances::default(),
    }
}

pub fn estimate(incident: &str, amount: &str) -> Command {
    Command::EstimateIncident(estimate_command(incident, Quote::Credits(credits(amount))))
}

pub fn confirm(hold: &str, park: bool) -> Command {
    Command::ConfirmEstimate(ConfirmEstimate { hold: incident(hold), park })
}

pub fn decline(hold: &str) -> Command {
    Command::DeclineEstimate(DeclineEstimate { hold: incident(hold) })
}

pub fn place_with(estimate: EstimateIncident, park: bool) -> Command {
    Command::PlaceHold(PlaceHold { estimate, park })
}

pub fn place(incident: &str, amount: &str) -> Command {
    place_with(estimate_command(incident, Quote::Credits(credits(amount))), false)
}

/// Places a hold that is estimated by time, so that it is no quote.
pub fn place_timed(incident: &str, minutes: u64) -> Command {
    place_with(estimate_command(incident, Quote::Seconds(minutes * 60)), false)
}

pub fn place_parked(incident: &str, amount: &str) -> Command {
    place_with(estimate_command(incident, Quote::Credits(credits(amount))), true)
}

pub fn extend(hold: &str, amount: &str) -> Command {
    Command::ExtendHold(ExtendHold { hold: incident(hold), credits: credits(amount) })
}

pub fn new_work(minutes: u64) -> NewWork {
    NewWork {
        seconds: minutes * 60,
        started_at: None,
        line: None,
        solutions: 0,
        note: Text::EMPTY,
        labels: Vec::new(),
    }
}

pub fn work(hold: &str, minutes: u64) -> Command {
    Command::RecordWork(RecordWork { hold: incident(hold), work: new_work(minutes) })
}

pub fn void(hold: &str, work: PostingId) -> Command {
    Command::VoidWork(VoidWork { hold: incident(hold), work: work.into() })
}

pub fn settle_command(hold: &str) -> SettleHold {
    SettleHold {
        hold: incident(hold),
        overrun: Overrun::TakeAvailable,
        max_charge: None,
        expected_work_seconds: None,
        waive_reason: Text::EMPTY,
        labels: Vec::new(),
        emergency: None,
        kb_answered: None,
    }
}

pub fn settle(hold: &str) -> Command {
    Command::SettleHold(settle_command(hold))
}

pub fn settle_capped(hold: &str) -> Command {
    Command::SettleHold(SettleHold { overrun: Overrun::CapAtHold, ..settle_command(hold) })
}

pub fn release(hold: &str) -> Command {
    release_waived(hold, Text::EMPTY)
}

pub fn release_waived(hold: &str, waive_reason: Text) -> Command {
    Command::ReleaseHold(ReleaseHold { hold: incident(hold), waive_reason })
}

pub fn close_incident(hold: &str) -> Command {
    Command::CloseIncident(CloseIncident {
        hold: incident(hold),
        max_charge: None,
        expected_work_seconds: None,
    })
}

pub fn charge_command(incident: &str, minutes: u64) -> ChargeIncident {
    ChargeIncident {
        incident: id(incident),
        class: None,
        work: new_work(minutes),
        opened_at: None,
        max_charge: None,
        waive_reason: Text::EMPTY,
        circumstances: Circumstances::default(),
        expected_charged: None,
    }
}

pub fn charge(incident: &str, minutes: u64) -> Command {
    Command::ChargeIncident(charge_command(incident, minutes))
}

pub fn reverse(hold: &str, amount: Option<&str>) -> Command {
    Command::ReverseSettlement(ReverseSettlement { hold: incident(hold), credits: amount.map(credits) })
}
