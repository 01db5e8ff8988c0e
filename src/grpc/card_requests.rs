//! Rate cards and work to be priced, read from requests.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::ledger::card::{
    CardFault, CardRef, ClassRule, EmergencyRule, Factor, FlatTier, LineRule, RateCard, TimeBasis, check,
};
use crate::ledger::ids::{CardId, LabelId, LineId, PackageId};
use crate::ledger::{ClassId, Credits};

use super::parse::{Amount, Fields, complete};
use super::wire;

/// Reads a card and checks it as a whole; its version is 1 until a ledger gives it another one.
pub fn read_rate_card(fields: &mut Fields, card: wire::RateCard) -> Option<RateCard> {
    let wire::RateCard {
        ledger_id: _,
        rate_card_id,
        version: _,
        description,
        credits_per_hour,
        increment_seconds,
        minimum_seconds,
        minimum_credits,
        charge_scale,
        quote_valid_days,
        free_support_days,
        classes,
        is_default: _,
        time_basis,
        flat_tier,
        multipliers,
        lines,
        packages,
        emergency,
        confirmed_hold_only,
    } = card;
    // No bound here: the check of the whole card says more about a number than that it is too large.
    let any = i64::MAX.unsigned_abs();
    let card_ref =
        fields.take("rate_card_id", CardId::parse(&rate_card_id)).map(|id| CardRef { id, version: 1 });
    let card = complete!(RateCard {
        card: card_ref,
        description: fields.text("description", &description),
        credits_per_hour: credits_or_zero(fields, "credits_per_hour", &credits_per_hour),
        packages: read_entries(fields, "packages", packages, |fields, rate| {
            let wire::PackageRate { package, credits_per_hour } = rate;
            let package = fields.take("package", PackageId::parse(&package));
            package.zip(fields.credits("credits_per_hour", &credits_per_hour, Amount::Positive))
        }),
        time_basis: fields
            .coded("time_basis", time_basis, TimeBasis::from_code)
            .map(|basis| basis.unwrap_or(TimeBasis::Sum)),
        increment_seconds: fields.number("increment_seconds", increment_seconds.into(), any),
        minimum_seconds: fields.number("minimum_seconds", minimum_seconds.into(), any),
        flat: match flat_tier {
            Some(wire::FlatTier { under_seconds, credits }) => fields.within("flat_tier", |fields| {
                let tier = complete!(FlatTier {
                    under_seconds: fields.number("under_seconds", under_seconds.into(), any),
                    credits: fields.credits("credits", &credits, Amount::Positive),
                });
                tier.map(Some)
            }),
            None => Some(None),
        },
        minimum_credits: credits_or_zero(fields, "minimum_credits", &minimum_credits),
        charge_scale: count(fields, "charge_scale", charge_scale),
        multipliers: read_entries(fields, "multipliers", multipliers, |fields, multiplier| {
            let wire::Multiplier { label, factor } = multiplier;
            let label = fields.take("label", LabelId::parse(&label));
            let problem = format!("must be a factor such as 1.5, more than 0 and at most {}", Factor::MAX);
            let read = Factor::parse(&factor).ok().filter(|factor| factor.units() > 0);
            label.zip(fields.take("factor", read.ok_or(problem)))
        }),
        lines: read_entries(fields, "lines", lines, read_line),
        emergency: fields
            .coded("emergency", emergency, EmergencyRule::from_code)
            .map(|policy| policy.unwrap_or(EmergencyRule::Charged)),
        quote_valid_days: match quote_valid_days {
            0 => Some(RateCard::QUOTE_VALID_DAYS),
            days => count(fields, "quote_valid_days", days),
        },
        free_support_days: match free_support_days {
            Some(days) => count(fields, "free_support_days", days).map(Some),
            None => Some(None),
        },
        confirmed_hold_only,
        classes: read_entries(fields, "classes", classes, read_class),
    })?;
    let faults = check(&card).faults;
    for fault in &faults {
        let (field, problem) = named(fault);
        fields.refuse::<()>(&field, problem);
    }
    faults.is_empty().then_some(card)
}

/// A fault with its field; the entry is named in the text.
pub fn named(fault: &CardFault) -> (String, String) {
    let CardFault { field, entry, problem } = fault;
    let field = match *field {
        "flat_under_seconds" => "flat_tier.under_seconds",
        "flat_credits" => "flat_tier.credits",
        other => other,
    };
    match entry {
        Some(entry) => (format!("{field}.{entry}"), problem.clone()),
        None => (field.to_owned(), problem.clone()),
    }
}

/// Reads a list of entries whose names must differ.
fn read_entries<M, K: Ord + Display, V>(
    fields: &mut Fields,
    name: &'static str,
    entries: Vec<M>,
    read: impl Fn(&mut Fields, M) -> Option<(K, V)>,
) -> Option<BTreeMap<K, V>> {
    let mut all = BTreeMap::new();
    fields.each(name, entries, |fields, entry| {
        let (key, value) = read(fields, entry)?;
        if all.contains_key(&key) {
            return fields.refuse("", format!("names {key} a second time"));
        }
        all.insert(key, value);
        Some(())
    })?;
    Some(all)
}

fn read_class(fields: &mut Fields, rule: wire::IncidentClassRule) -> Option<(ClassId, ClassRule)> {
    let wire::IncidentClassRule {
        incident_class,
        mode,
        estimate_min_credits,
        estimate_max_credits,
        credits_per_hour,
    } = rule;
    let class = fields.take("incident_class", ClassId::parse(&incident_class));
    let mode = fields.known("mode", mode);
    let min = optional_amount(fields, "estimate_min_credits", &estimate_min_credits, Amount::AtLeastZero);
    let max = optional_amount(fields, "estimate_max_credits", &estimate_max_credits, Amount::AtLeastZero);
    let rate = optional_amount(fields, "credits_per_hour", &credits_per_hour, Amount::Positive);
    let (class, mode, min, max, rate) = (class?, mode?, min?, max?, rate?);
    let range = match (min, max) {
        (Some(min), Some(max)) if min > max => {
            return fields.refuse("estimate_min_credits", "must be at most estimate_max_credits");
        }
        (Some(min), Some(max)) => Some((min, max)),
        (None, None) => None,
        (Some(_), None) => {
            return fields.refuse("estimate_max_credits", "must be given with the least estimate");
        }
        (None, Some(_)) => {
            return fields.refuse("estimate_min_credits", "must be given with the highest estimate");
        }
    };
    let rule = match mode {
        wire::IncidentClassMode::Unspecified | wire::IncidentClassMode::Timed => {
            return Some((class, ClassRule::Timed { range, credits_per_hour: rate }));
        }
        wire::IncidentClassMode::Free => ClassRule::Free,
        wire::IncidentClassMode::QuoteRequired => ClassRule::QuoteRequired,
        wire::IncidentClassMode::Refused => ClassRule::Refused,
    };
    if range.is_some() || rate.is_some() {
        return fields.refuse("mode", "has neither range nor rate unless it is TIMED");
    }
    Some((class, rule))
}

fn read_line(fields: &mut Fields, rate: wire::LineRate) -> Option<(LineId, LineRule)> {
    let wire::LineRate { line, free, credits_per_hour } = rate;
    let line = fields.take("line", LineId::parse(&line));
    let rule = match (free, credits_per_hour.is_empty()) {
        (true, true) => Some(LineRule::Free),
        (true, false) => fields.refuse("credits_per_hour", "must be empty where the line is free"),
        (false, _) => fields
            .credits("credits_per_hour", &credits_per_hour, Amount::Positive)
            .map(LineRule::CreditsPerHour),
    };
    Some((line?, rule?))
}

/// An amount that may be left empty.
fn optional_amount(fields: &mut Fields, field: &str, text: &str, amount: Amount) -> Option<Option<Credits>> {
    if text.is_empty() { Some(None) } else { fields.credits(field, text, amount).map(Some) }
}

fn credits_or_zero(fields: &mut Fields, field: &str, text: &str) -> Option<Credits> {
    optional_amount(fields, field, text, Amount::AtLeastZero).map(Option::unwrap_or_default)
}

fn count(fields: &mut Fields, field: &str, number: i32) -> Option<u32> {
    fields.count(field, number, i32::MAX.unsigned_abs())
}
