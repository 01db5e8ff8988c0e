//! What comes in and goes back: purchases, grants, adjustments, refunds, chargebacks, and undoing them.

use crate::credits::{Amount, Customer, Lot, Posted, Refund, Refusal, half_up};
use crate::money::{BREAKAGE, DEFERRED, EARNED, Price, RECEIVABLE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Reject,
    Owe,
    WriteOff,
}

impl Customer {
    /// A lot comes in from `source`; the number of the lot.
    fn bring(&mut self, posted: &mut Posted, source: &'static str, lot: Lot) -> usize {
        self.shift(posted, source, "available", lot.left);
        self.lots.push(lot);
        self.lots.len() - 1
    }

    pub fn purchase(
        &mut self,
        order: String,
        bought: Amount,
        price: Option<Price>,
        expires: Option<i64>,
    ) -> Posted {
        let mut posted = Posted { kind: "PURCHASE_CREDITS", ..Posted::default() };
        let repaid = bought.min(self.owed);
        let earned = half_up(price.map_or(0, |price| price.minor) * repaid, bought);
        let minor = price.map_or(0, |price| price.minor);
        posted.money.shift(price, RECEIVABLE, EARNED, earned);
        posted.money.shift(price, RECEIVABLE, DEFERRED, minor - earned);
        self.shift(&mut posted, "sales", "receivable", repaid);
        if repaid > 0 {
            posted.notes.push("a purchase repays");
        }
        let (left, money) = (bought - repaid, minor - earned);
        self.bring(&mut posted, "sales", Lot { bought, price, money, ..lot(order, left, expires) });
        self.last_purchase = bought;
        posted.events.push(format!("purchase.completed {bought}"));
        posted
    }

    pub fn grant(&mut self, credits: Amount, expires: Option<i64>) -> Result<Posted, Refusal> {
        self.must_be_open()?;
        let mut posted = Posted { kind: "GRANT_CREDITS", ..Posted::default() };
        let granted = Lot { is_grant: true, ..lot(String::new(), credits, expires) };
        let lot = self.bring(&mut posted, "promotions", granted);
        posted.incoming.push((lot, credits, 0));
        posted.events.push(format!("credits.granted {credits}"));
        Ok(posted)
    }

    pub fn adjust(&mut self, credits: Amount) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "ADJUST_BALANCE", ..Posted::default() };
        if credits > 0 {
            let lot = self.bring(&mut posted, "adjustments", lot(String::new(), credits, None));
            posted.incoming.push((lot, credits, 0));
        } else {
            self.must_have(-credits)?;
            self.shift(&mut posted, "available", "adjustments", -credits);
            for burned in self.burn(&mut posted, -credits, BREAKAGE) {
                self.lots[burned.lot].adjusted += burned.credits;
                self.lots[burned.lot].adjusted_money += burned.money;
            }
        }
        posted.events.push(format!("credits.adjusted {credits}"));
        Ok(posted)
    }

    /// A refund, or with `disputed` a chargeback.
    pub fn give_back(
        &mut self,
        lot: usize,
        credits: Option<Amount>,
        money: Option<Amount>,
        policy: Policy,
        disputed: bool,
    ) -> Result<Posted, Refusal> {
        let standing = || self.lots[lot].refunds.iter().filter(|refund| refund.stands);
        let refundable = self.lots[lot].bought - standing().map(Refund::credits).sum::<Amount>();
        let price = self.lots[lot].price;
        let unreturned =
            price.map_or(0, |price| price.minor - standing().map(|refund| refund.money).sum::<Amount>());
        if disputed && standing().any(|refund| refund.state == "DISPUTED") {
            return Err(Refusal::new("PURCHASE_DISPUTED"));
        }
        let credits = credits.unwrap_or(refundable);
        if credits > refundable || credits == 0 {
            return Err(Refusal::with("EXCEEDS_REFUNDABLE", &[refundable]));
        }
        let money = match (price, money) {
            (None, Some(_)) => return Err(Refusal::new("INVALID_FIELD")),
            (Some(_), Some(money)) if money > unreturned => return Err(Refusal::new("INVALID_FIELD")),
            (_, Some(money)) => money,
            (_, None) => half_up(unreturned * credits, refundable),
        };
        let taken = credits.min(self.lots[lot].left).min(self.available);
        let expired = (credits - taken).min(self.lots[lot].expired);
        let adjusted = (credits - taken - expired).min(self.lots[lot].adjusted);
        let rest = credits - taken - expired - adjusted;
        if rest > 0 && policy == Policy::Reject {
            return Err(Refusal::with("LOT_SPENT", &[credits - rest, rest]));
        }
        let kind = if disputed { "RECORD_CHARGEBACK" } else { "REFUND_PURCHASE" };
        let mut posted = Posted { kind, ..Posted::default() };
        let from_deferred = self.take(lot, taken);
        let it = &mut self.lots[lot];
        // What is returned below their shares stays where it is.
        let unspent = (money - from_deferred).max(0);
        let shares = [
            half_up(it.expired_money * expired, it.expired),
            half_up(it.adjusted_money * adjusted, it.adjusted),
        ];
        let of_expired = shares[0].min(unspent);
        let from_breakage = [of_expired, shares[1].min(unspent - of_expired)];
        it.expired -= expired;
        it.expired_money -= from_breakage[0];
        it.adjusted -= adjusted;
        it.adjusted_money -= from_breakage[1];
        let [breakage, share] = [from_breakage, shares].map(|money| money.iter().sum::<Amount>());
        posted.money.shift(price, DEFERRED, RECEIVABLE, from_deferred);
        posted.money.shift(price, BREAKAGE, RECEIVABLE, breakage);
        posted.money.shift(price, EARNED, RECEIVABLE, money - from_deferred - breakage);
        self.shift(&mut posted, "available", "sales", taken);
        self.shift(&mut posted, "expired", "sales", expired);
        self.shift(&mut posted, "write_offs", "sales", adjusted);
        let (owed, written_off) = if policy == Policy::WriteOff { (0, rest) } else { (rest, 0) };
        self.shift(&mut posted, "receivable", "sales", owed);
        self.shift(&mut posted, "write_offs", "sales", written_off);
        posted.notes.extend((expired > 0).then_some("expired credits refunded"));
        posted.notes.extend((breakage < share).then_some("less refunded than the breakage"));
        posted.notes.extend((adjusted > 0).then_some("adjusted credits refunded"));
        posted.notes.extend((owed > 0).then_some("a refund is owed"));
        posted.notes.extend((written_off > 0).then_some("a refund is written off"));
        let state = if disputed { "DISPUTED" } else { "REFUNDED" };
        let refund = Refund {
            state,
            taken,
            expired,
            adjusted,
            owed,
            written_off,
            undone: 0,
            undone_owed: 0,
            undone_money: 0,
            money,
            from_deferred,
            from_breakage,
            stands: true,
            place: self.commands,
        };
        self.lots[lot].refunds.push(refund);
        self.lots[lot].disputed |= disputed;
        let event = if disputed { "purchase.disputed" } else { "purchase.refunded" };
        posted.events.push(format!("{event} {credits}"));
        Ok(posted)
    }

    pub fn reverse_refund(&mut self, lot: usize, nth: usize) -> Result<Posted, Refusal> {
        let Some(refund) = self.lots[lot].refunds.get(nth) else {
            return Err(Refusal::new("REFUND_NOT_FOUND"));
        };
        if refund.state != "REFUNDED" {
            return Err(Refusal::new("REFUND_NOT_STANDING"));
        }
        let mut posted = Posted { kind: "REVERSE_REFUND", ..Posted::default() };
        if refund.undone > 0 {
            posted.notes.push("a refund reversed whose write-off was undone");
        }
        self.undo(&mut posted, lot, nth, "REVERSED");
        Ok(posted)
    }

    pub fn resolve(&mut self, lot: usize, won: bool) -> Result<Posted, Refusal> {
        let found = self.lots[lot].refunds.iter().position(|refund| refund.state == "DISPUTED");
        let Some(nth) = found else { return Err(Refusal::new("PURCHASE_NOT_DISPUTED")) };
        let mut posted = Posted { kind: "RESOLVE_CHARGEBACK", ..Posted::default() };
        self.lots[lot].disputed = false;
        if won {
            self.undo(&mut posted, lot, nth, "WON");
        } else {
            self.lots[lot].refunds[nth].state = "LOST";
        }
        Ok(posted)
    }

    /// A refund is as if it had not been, less what was spent since.
    fn undo(&mut self, posted: &mut Posted, lot: usize, nth: usize, state: &'static str) {
        let refund = self.lots[lot].refunds[nth].clone();
        let price = self.lots[lot].price;
        let owed = refund.owed - refund.undone_owed;
        let still_owed = owed.min(self.owed);
        let repaid = owed - still_owed;
        let written_off = refund.written_off - refund.undone;
        let back = refund.taken + repaid + refund.undone + refund.undone_owed;
        self.shift(posted, "sales", "receivable", still_owed);
        self.shift(posted, "sales", "write_offs", written_off);
        self.shift(posted, "sales", "expired", refund.expired);
        self.shift(posted, "sales", "write_offs", refund.adjusted);
        self.shift(posted, "sales", "available", back);
        // What was taken from earned comes back for what is the customer's again, the rest is earned again.
        let breakage: Amount = refund.from_breakage.iter().sum();
        let from_earned = refund.money - refund.from_deferred - breakage;
        let again = half_up((from_earned - refund.undone_money).max(0) * repaid, owed) + refund.undone_money;
        let it = &mut self.lots[lot];
        let room = (it.room() - breakage).max(0);
        posted.notes.extend((refund.from_deferred + again > room).then_some("a lot full of its price"));
        let minor = (refund.from_deferred + again).min(room);
        posted.money.shift(price, RECEIVABLE, DEFERRED, minor);
        posted.money.shift(price, RECEIVABLE, BREAKAGE, breakage);
        posted.money.shift(price, RECEIVABLE, EARNED, refund.money - breakage - minor);
        it.left += back;
        it.money += minor;
        it.expired += refund.expired;
        it.expired_money += refund.from_breakage[0];
        it.adjusted += refund.adjusted;
        it.adjusted_money += refund.from_breakage[1];
        it.refunds[nth].state = state;
        it.refunds[nth].stands = false;
        posted.incoming.push((lot, back, minor));
    }
}

fn lot(order: String, left: Amount, expires: Option<i64>) -> Lot {
    Lot {
        order,
        is_grant: false,
        bought: left,
        price: None,
        expires,
        left,
        money: 0,
        disputed: false,
        expired: 0,
        expired_money: 0,
        adjusted: 0,
        adjusted_money: 0,
        refunds: Vec::new(),
    }
}
